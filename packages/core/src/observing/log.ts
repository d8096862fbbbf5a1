/** A mistake that every request repeats is logged once in this time. */
const LOG_INTERVAL_MS = 60_000;

/** Prints lines for the operator on `console.error`. The sender must not see them. */
export interface Log {
  /** Prints a line under a name, once a minute for each name. */
  (name: string, text: string): void;
  /** Returns whether a line under this name is due. If so, the next one is due a minute later. */
  isDue(name: string): boolean;
  /** Prints a line whether or not one is due. */
  print(name: string, text: string): void;
}

/** @param subject The first word of every line, such as the provider's name. */
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

/** Returns a provider's text in quotes, on one line, at most 100 characters of it. */
export function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
