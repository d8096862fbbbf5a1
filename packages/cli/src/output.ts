import pc from "picocolors";

/** A mistake in the command line or the environment: exit status 2. The message names the fix. */
export class UsageError extends Error {}

/** The command ran and failed: exit status 1. */
export class Failure extends Error {}

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;

// picocolors itself would also colour the log of a build server.
export const colours = pc.createColors(
  NO_COLOR ? false : FORCE_COLOR ? FORCE_COLOR !== "0" : Boolean(process.stdout.isTTY) && TERM !== "dumb",
);

export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Escapes the control characters in text from elsewhere, so that it can neither write to the terminal nor break the line. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
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
