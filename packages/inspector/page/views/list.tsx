import { useLayoutEffect, useRef } from "preact/hooks";
import type { Row } from "../../src/wire.js";
import { goTo } from "../parts/routes.js";
import { Text, time } from "../parts/text.js";
import { VirtualList } from "../parts/virtual-list.js";

const ROW_HEIGHT = 58;

interface Props {
  readonly rows: readonly Row[];
  readonly total: number;
  readonly filter: string;
  readonly selected: number | undefined;
  readonly marked: number | undefined;
}

/** The live list. Rows that arrive do not move those that the reader has scrolled to. */
export function DeliveryList({ rows, total, filter, selected, marked }: Props) {
  const scroller = useRef<HTMLElement>(null);
  const newest = useRef(0);
  useLayoutEffect(() => {
    const element = scroller.current;
    const added = rows.findIndex(({ id }) => id <= newest.current);
    if (element !== null && element.scrollTop > 0 && added > 0) element.scrollTop += added * ROW_HEIGHT;
    newest.current = rows[0]?.id ?? 0;
  }, [rows]);
  // Before the browser paints, so that it does not undo what the reader scrolls afterwards.
  useLayoutEffect(() => {
    const element = scroller.current;
    const index = rows.findIndex(({ id }) => id === selected);
    if (element === null || index < 0) return;
    const top = index * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW_HEIGHT > element.scrollTop + element.clientHeight)
      element.scrollTop = top + ROW_HEIGHT - element.clientHeight;
    // Arriving rows must not scroll the list
  }, [selected]);
  if (rows.length === 0) {
    return (
      <p class="empty">
        {total === 0
          ? "No deliveries yet. They appear here as they arrive."
          : `None of ${total} deliveries holds “${filter}”.`}
      </p>
    );
  }
  return (
    <VirtualList
      class="rows"
      label="Deliveries"
      count={rows.length}
      rowHeight={ROW_HEIGHT}
      scroller={scroller}
      row={(index) => {
        const row = rows[index] as Row;
        return (
          <ListRow key={row.id} row={row} isSelected={row.id === selected} isMarked={row.id === marked} />
        );
      }}
    />
  );
}

function ListRow({ row, isSelected, isMarked }: { row: Row; isSelected: boolean; isMarked: boolean }) {
  const { id, receivedAt, provider, types, events, verdict, words, reason, status, duration, replayOf } = row;
  const more = events - types.length;
  return (
    <button
      type="button"
      class={`row ${verdict}${isSelected ? " selected" : ""}`}
      data-id={id}
      onClick={() => goTo("delivery", id)}
    >
      <span class="line">
        <b class="verdict">
          <Text text={words} />
        </b>
        {isMarked && <span class="tag">A</span>}
        {replayOf !== undefined && <span class="tag">sent again: {replayOf}</span>}
        <span class="fill" />
        <span class="dim">
          {status ?? "reply not known"}
          {duration !== undefined && ` · ${duration < 10 ? duration.toFixed(1) : Math.round(duration)} ms`}
        </span>
        <time class="dim">{time(receivedAt)}</time>
      </span>
      <span class="line dim">
        <Text text={provider ?? "Unknown provider"} />
        <span class="types">
          <Text text={types.join(", ")} />
          {more > 0 && ` … ${events} events`}
        </span>
        {reason !== undefined && (
          <span class="reason">
            <Text text={reason.charAt(0).toUpperCase() + reason.slice(1)} />
          </span>
        )}
      </span>
    </button>
  );
}
