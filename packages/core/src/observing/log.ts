import type { ErrorCode } from "../errors.js";
import { startOf } from "../text/describe.js";
import { isThenable } from "../values/maybe-promise.js";
import { RecentMap } from "../values/recent-map.js";
import { docsAddress } from "./docs.js";

/** Every request can repeat a mistake, so each name is logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** How many names of lines are remembered, at least. Names of listener errors come from the app. */
const NAMES = 1_000;
/** In UTF-16 units. The name of an error, and the place where it was thrown, can be of any length. */
const NAME_MAX = 255;

/**
 * Takes the lines for the operator. A console, and a logger of pino or winston, fit. Lines that need the
 * operator go to `error`, refused deliveries to `warn`. `info` and `debug` are not called today.
 */
export interface Logger {
  debug(message: string): unknown;
  info(message: string): unknown;
  warn(message: string): unknown;
  error(message: string): unknown;
}

/** The lines that are not about the code of a reply. Each has a heading in `docs/reference/errors.md`. */
export const OTHER_LINES = [
  "IGNORED",
  "CLAIM_LOST",
  "SUBJECT_MISSING",
  "subjectOf",
  "orderingKey",
  "claims",
  "secret",
  "tolerance",
  "observe",
  "instrumentation",
  "unserializable",
  "unreachable",
  "setup",
] as const;

/** The subject of a line. In lower case it is an anchor of `docs/reference/errors.md`. */
export type LineName = ErrorCode | (typeof OTHER_LINES)[number];

/** Prints lines for the operator. */
export interface Log {
  /**
   * Prints a line under a name, at most one line a minute for each name and kind. Drops further lines.
   *
   * @param kind Such as the kind of an error, so that one kind does not hide another.
   */
  (name: LineName, text: string, kind?: string): void;
  /** Returns whether a line under this name may be printed now. If so, it also starts the minute of this name. */
  isDue(name: string): boolean;
  /** Prints a line without the limit. Call it after `isDue` returned true. */
  print(name: LineName, text: string): void;
}

/** The lines about a sender's mistake or an attack. All other lines need the operator. */
const WARNINGS: ReadonlySet<string> = new Set([
  "SIGNATURE_MISSING",
  "SIGNATURE_MALFORMED",
  "SIGNATURE_MISMATCH",
  "TIMESTAMP_OUT_OF_TOLERANCE",
  "NOT_FOUND",
  "IGNORED",
]);

/**
 * @param subject Stands in every line after `crowdhook`, such as the provider's name.
 * @param logger Gets the lines. Default: all lines go to `console.error`.
 */
export function createLog(subject: string, logger?: Logger): Log {
  const loggedAt = new RecentMap<number>(NAMES);
  const isDue = (fullName: string) => {
    const name = startOf(fullName, NAME_MAX);
    // Monotonic: after the wall clock was set back, lines would be dropped for as long.
    const now = performance.now();
    if (now - (loggedAt.get(name) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return false;
    loggedAt.set(name, now);
    return true;
  };
  const print = (name: LineName, text: string) => {
    // At the end of the first line, in front of the stack of an error.
    const [first = "", ...rest] = text.split("\n");
    const page = docsAddress("reference/errors", name.toLowerCase());
    const line = [`crowdhook: ${subject}: ${name}: ${first} [${page}]`, ...rest].join("\n");
    try {
      if (logger === undefined) return console.error(line);
      const written: unknown = WARNINGS.has(name) ? logger.warn(line) : logger.error(line);
      // A logger may be asynchronous, and its rejection must not end the process.
      if (isThenable(written)) void Promise.resolve(written).then(undefined, () => {});
    } catch {
      // Apps replace console, and a failing log must not fail a delivery.
    }
  };
  const log = (name: LineName, text: string, kind?: string) => {
    if (isDue(kind === undefined ? name : `${name} ${kind}`)) print(name, text);
  };
  return Object.assign(log, { isDue, print });
}

/** Returns the first 100 characters of a provider's text, in quotes and on one line. */
export function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

const logs = new WeakMap<object, Log>();

/** Remembers a receiver's log, so that its adapter's lines obey the same limits. */
export function keepLog<Receiver extends object>(receiver: Receiver, log: Log): Receiver {
  logs.set(receiver, log);
  return receiver;
}

/** Returns a receiver's log, or a new one for a receiver that `createReceiver` did not make. */
export function logOf(receiver: { readonly provider: { readonly name: string } }): Log {
  let log = logs.get(receiver);
  if (log === undefined) {
    log = createLog(receiver.provider.name);
    logs.set(receiver, log);
  }
  return log;
}
