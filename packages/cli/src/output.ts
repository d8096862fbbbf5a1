import pc from "picocolors";

/** A mistake in the command line or the environment: exit status 2. The message names the fix. */
export class UsageError extends Error {}

/** What was asked for did not come about: exit status 1. */
export class Failure extends Error {}

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;

// Not picocolors' own guess, which takes a build server's log for a terminal.
export const colours = pc.createColors(
  NO_COLOR ? false : FORCE_COLOR ? FORCE_COLOR !== "0" : Boolean(process.stdout.isTTY) && TERM !== "dumb",
);

export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Text from elsewhere, made harmless for a terminal and for a line. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
}

export function marked(isGood: boolean, text: string): string {
  return isGood ? `${colours.green("✓")} ${text}` : `${colours.red("✗")} ${text}`;
}

/** `3 s`, `7 minutes`, `26 years`: a length of time as people say it. */
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

/** `3 handled, 1 duplicate`: what is not 0. With a sign, `200 × 3`. */
export function counted(counts: Readonly<Record<string, number>>, sign?: string): string {
  return Object.entries(counts)
    .filter(([, count]) => count !== 0)
    .map(([what, count]) => (sign ? `${what} ${sign} ${count}` : `${count} ${what}`))
    .join(", ");
}

export function add(counts: Record<string, number>, what: string | number, count = 1): void {
  counts[what] = (counts[what] ?? 0) + count;
}
