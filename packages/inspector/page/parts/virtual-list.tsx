import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  readonly count: number;
  /** In pixels. All rows have it. */
  readonly rowHeight: number;
  readonly class: string;
  /** In pixels. Fewer rows make a lower list. Default: the height that the style gives. */
  readonly maxHeight?: number;
  readonly label: string;
  readonly row: (index: number) => ComponentChildren;
  readonly scroller?: RefObject<HTMLElement | null>;
}

/** Rows beyond the visible ones, so that scrolling shows no gaps. */
const OVERSCAN = 8;
/** Room for a horizontal scroll bar, in pixels. */
const SCROLLBAR = 16;

/** Draws only the visible rows, so that hundreds of thousands stay smooth. */
export function VirtualList({ count, rowHeight, row, label, scroller, maxHeight, ...props }: Props) {
  const own = useRef<HTMLElement>(null);
  const ref = scroller ?? own;
  const [view, setView] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, [ref]);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - OVERSCAN);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN);
  const indexes = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  return (
    <section
      style={
        maxHeight === undefined ? {} : { height: `${Math.min(maxHeight, count * rowHeight + SCROLLBAR)}px` }
      }
      class={`virtual ${props.class}`}
      ref={ref}
      aria-label={label}
    >
      <div style={{ height: `${count * rowHeight}px`, position: "relative" }}>
        <div style={{ position: "absolute", top: `${first * rowHeight}px`, left: 0, right: 0 }}>
          {indexes.map(row)}
        </div>
      </div>
    </section>
  );
}
