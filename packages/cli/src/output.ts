import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { escapeControls, escapeControlsInJson } from "@crowdhook/core/internal";

/** A mistake in the command line or the environment: exit status 2. The message names the fix. */
export class UsageError extends Error {}

/** The command ran and failed: exit status 1. */
export class Failure extends Error {}

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
const hasColours = NO_COLOR
  ? false
  : FORCE_COLOR
    ? FORCE_COLOR !== "0"
    : Boolean(process.stdout.isTTY) && TERM !== "dumb";

/** Stands for the escape character of a colour. It is random, so that a text from elsewhere cannot contain it. */
const ESCAPE = `{${randomUUID()}}`;

function style(open: number, close: number): (text: string) => string {
  return (text) => (hasColours ? `${ESCAPE}[${open}m${text}${ESCAPE}[${close}m` : text);
}

export const colours = {
  bold: style(1, 22),
  dim: style(2, 22),
  red: style(31, 39),
  green: style(32, 39),
  yellow: style(33, 39),
};

/** In UTF-16 units. A longer line is cut off: a type in a delivery may have five million. */
const LINE_MAX = 2_000;

// All that the command prints passes through `write`, so that no text from elsewhere writes to the terminal.
// Two exceptions show constant texts: the progress bar, and the questions for a secret or a confirmation.

/** Prints a line on standard output. A line break in it is escaped, because it came from elsewhere. */
export function print(line = ""): void {
  write(process.stdout, escaped(line));
}

/** Prints the lines of a text on standard output, each of any length. */
export function printText(text: string): void {
  for (const line of text.split("\n")) write(process.stdout, escapeControls(line));
}

/** Prints a line on standard error. */
export function printError(line: string): void {
  write(process.stderr, escaped(line));
}

/** Prints one line of JSON. */
export function printJson(value: unknown): void {
  write(process.stdout, escapeControlsInJson(JSON.stringify(value)));
}

/** Prints JSON on several lines. */
export function printDocument(value: unknown): void {
  for (const line of JSON.stringify(value, null, 2).split("\n"))
    write(process.stdout, escapeControlsInJson(line));
}

/** Prints an error that is a bug of this command, with its stack. */
export function printBug(error: unknown): void {
  for (const line of inspect(error).split("\n")) printError(line);
}

function write(stream: NodeJS.WriteStream, line: string): void {
  stream.write(`${line}\n`);
}

/** Returns a line without control characters, except for this command's own colours. */
function escaped(line: string): string {
  const whole = line.length > LINE_MAX ? `${withoutColours(line).slice(0, LINE_MAX)}…` : line;
  return escapeControls(whole).replaceAll(ESCAPE, "\u001b");
}

function withoutColours(line: string): string {
  return line
    .split(ESCAPE)
    .map((part, index) => (index === 0 ? part : part.replace(/^\[\d+m/, "")))
    .join("");
}

export function marked(isGood: boolean, text: string): string {
  return isGood ? `${colours.green("✓")} ${text}` : `${colours.red("✗")} ${text}`;
}

/** Returns a length of time as people say it: `3 s`, `7 minutes`, `26 years`. */
export function duration(seconds: number): string {
  const { unit, size } = UNITS.find(({ size }) => seconds >= 2 * size) ?? SECONDS;
  return unit === "s" ? `${Number(seconds.toFixed(1))} s` : `${Math.floor(seconds / size)} ${unit}`;
}

const SECONDS = { unit: "s", size: 1 };
const UNITS = [
  { unit: "years", size: 31_557_600 },
  { unit: "days", size: 86_400 },
  { unit: "hours", size: 3_600 },
  { unit: "minutes", size: 60 },
];

/** Returns the counts that are not 0: `3 handled, 1 duplicate`, or with a sign `200 × 3`. */
export function counted(counts: Readonly<Record<string, number>>, sign?: string): string {
  return Object.entries(counts)
    .filter(([, count]) => count !== 0)
    .map(([name, count]) => (sign ? `${name} ${sign} ${count}` : `${count} ${name}`))
    .join(", ");
}

export function add(counts: Record<string, number>, name: string | number, count = 1): void {
  counts[name] = (counts[name] ?? 0) + count;
}

/** Returns `Toloka and Prolific`, or the same with "or". */
export function listed(words: readonly string[], type: "and" | "or"): string {
  const list = new Intl.ListFormat("en", { type: type === "and" ? "conjunction" : "disjunction" });
  return list.format(words);
}

export function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
