/** Every request can repeat a mistake, so each name is logged at most once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** Prints lines for the operator on `console.error`. */
export interface Log {
  /** Prints a line under a name, at most one line a minute for each name. Drops further lines. */
  (name: string, text: string): void;
  /** Returns whether a line under this name may be printed now. If so, it also starts the minute of this name. */
  isDue(name: string): boolean;
  /** Prints a line without the limit. Call it after `isDue` returned true. */
  print(name: string, text: string): void;
}

/** @param subject Stands in every line after `crowdhook`, such as the provider's name. */
export function createLog(subject: string): Log {
  const loggedAt = new Map<string, number>();
  const isDue = (name: string) => {
    const now = Date.now();
    if (now - (loggedAt.get(name) ?? 0) < LOG_INTERVAL_MS) return false;
    loggedAt.set(name, now);
    return true;
  };
  const print = (name: string, text: string) => {
    try {
      console.error(`crowdhook: ${subject}: ${name}: ${text}`);
    } catch {
      // Apps replace console, and a failing log must not fail a delivery.
    }
  };
  const log = (name: string, text: string) => {
    if (isDue(name)) print(name, text);
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
