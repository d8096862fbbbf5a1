import type { ComponentChildren } from "preact";

/** Characters that are invisible, end a line or change the direction of a text. The server's are the same. */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Shows a text from elsewhere. Nothing in it can act on the page: controls are written out. */
export function Text({ text, lines = false }: { readonly text: string; readonly lines?: boolean }) {
  const parts: ComponentChildren[] = [];
  let done = 0;
  for (const { 0: char, index } of text.matchAll(CONTROLS)) {
    if (lines && (char === "\n" || char === "\t")) continue;
    parts.push(text.slice(done, index), <span class="control">{written(char)}</span>);
    done = index + char.length;
  }
  return <bdi dir="ltr">{[...parts, text.slice(done)]}</bdi>;
}

function written(char: string): string {
  return `\\u{${char.codePointAt(0)?.toString(16)}}`;
}

export function time(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function dateTime(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

const UNITS = [
  ["years", 31_557_600],
  ["days", 86_400],
  ["hours", 3_600],
  ["minutes", 60],
] as const;

/** Returns a length of time as people say it: `3 s`, `7 minutes`. */
export function span(seconds: number): string {
  const [unit, size] = UNITS.find(([, size]) => seconds >= 2 * size) ?? ["s", 1];
  return unit === "s" ? `${Number(seconds.toFixed(1))} s` : `${Math.floor(seconds / size)} ${unit}`;
}

export function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
