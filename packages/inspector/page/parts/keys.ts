import { useEffect, useRef } from "preact/hooks";

/** The keys of the page, and what they do. */
export const KEYS = {
  j: "the next delivery",
  k: "the delivery before",
  Enter: "open the delivery",
  r: "sign and send again",
  e: "edit, sign and send",
  c: "compare: first one, then another",
  "/": "filter the list",
  "?": "these keys",
  Escape: "back",
} as const;

export type Key = keyof typeof KEYS;

/** Calls `run` for each key of the page, but not while the reader types a text. */
export function useKeys(run: (key: Key) => void): void {
  // Effects run after the browser has painted, and a key may come before: it must meet what is drawn.
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, key)) return;
      // A key that is held down moves on, but must not send a delivery again and again.
      if (event.repeat && key !== "j" && key !== "k") return;
      const element = target as HTMLElement;
      const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
      if (key === "Escape" && isTyping) element.blur();
      if (isTyping || (key === "Enter" && /^(BUTTON|A|SUMMARY)$/.test(element.tagName))) return;
      event.preventDefault();
      latest.current(key as Key);
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
