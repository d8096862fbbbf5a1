import { expect } from "vitest";
import { seededRandom } from "./seeded-random.js";

/** The same texts in each run, so that a run that fails can be repeated. Another seed tries other texts. */
const seed = Number(process.env.FUZZ_SEED ?? 1);
const random = seededRandom(seed);
export const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;

/** Texts that write to a terminal, end a line, hide or turn the text around them, or are no text. */
const ATTACKS = [
  "\u001b]0;title\u0007",
  "\u001b]8;;http://evil.example\u001b\\link\u001b]8;;\u001b\\",
  "\u001b]52;c;YQ==\u0007",
  "\u001b[2J",
  "\u001b[31m",
  "\u001b[8m",
  "\u001b[1;1H",
  "\u001bc",
  "\u001bP+q\u001b\\",
  "\u009b2J",
  "\u009d0;t\u009c",
  "\u0090q",
  "\u0000",
  "\u0007",
  "\b",
  "\t",
  "\r",
  "\n",
  "\r\n✓ Toloka, genuine",
  "\u007f",
  "\u0085",
  "\u2028",
  "\u2029",
  "\u202a",
  "\u202b",
  "\u202c",
  "\u202d",
  "\u202e",
  "\u2066",
  "\u2067",
  "\u2068",
  "\u2069",
  "\u200e",
  "\u200f",
  "\u061c",
  "\u200b",
  "\u200d",
  "\ufeff",
  "\u00ad",
  "\u{e0041}",
  "\ud800",
  "\udc00",
  "\ud83d",
] as const;
const WORDS = [
  "POOL_CLOSED",
  "é",
  "🔑",
  "%1b",
  "\\u001b",
  "{",
  "}",
  "[31m",
  '"',
  "'",
  "$&",
  "x".repeat(300),
  "1",
];

function hostile(): string {
  const parts = Array.from({ length: 1 + Math.floor(random() * 4) }, () => [pick(WORDS), pick(ATTACKS)]);
  return parts.flat().join("");
}
let inputs = 0;
/** Returns how many texts `next` has returned. */
export const tried = () => inputs;
/** Returns another text that attacks. */
export const next = () => {
  inputs++;
  return hostile();
};
/** A process cannot get a zero byte in an argument, and the system has no lone surrogates in one. */
export const argument = () =>
  next()
    .replaceAll("\0", "")
    .replace(/\p{Cs}/gu, "");
/** Headers are Latin-1 without line breaks and most other control characters. */
export const headerValue = () => next().replace(/[^\t\x20-\x7e\x80-\xff]/g, "") || "x";

const CONTROLS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Looks for control characters other than the line breaks at the end of a line. */
export function expectHarmless(...outputs: readonly string[]): void {
  for (const output of outputs) {
    for (const line of output.split("\n")) {
      const found = CONTROLS.exec(line);
      if (found)
        expect.fail(
          `seed ${seed}: ${JSON.stringify(line.slice(Math.max(0, found.index - 80), found.index + 80))}`,
        );
      // As an attack would forge it.
      expect(line).not.toMatch(/^✓ Toloka, genuine/);
    }
  }
}
