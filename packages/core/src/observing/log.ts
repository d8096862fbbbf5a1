/** A mistake that every request repeats is logged this often. */
const LOG_EVERY_MS = 60_000;

/** What the operator is told on `console.error`, and the sender must not know. */
export interface Log {
  /** Prints a line under a name; under each name once a minute. */
  (name: string, text: string): void;
  /** Whether it is time for a line under this name; if so, the time for the next is a while away. */
  isDue(name: string): boolean;
  print(name: string, text: string): void;
}

export function createLog(of: string): Log {
  const loggedAt = new Map<string, number>();
  const isDue = (name: string) => {
    const now = Date.now();
    if (now - (loggedAt.get(name) ?? 0) < LOG_EVERY_MS) return false;
    loggedAt.set(name, now);
    return true;
  };
  const print = (name: string, text: string) => {
    try {
      console.error(`crowdhook: ${of}: ${name}: ${text}`);
    } catch {
      // Apps replace console, and a log that fails must not fail a delivery.
    }
  };
  const log = (name: string, text: string) => {
    if (isDue(name)) print(name, text);
  };
  return Object.assign(log, { isDue, print });
}

/** Text from elsewhere, on one line, and short. */
export function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
