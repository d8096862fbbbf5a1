import type { Attempt } from "./attempt.js";
import { DoneKeys } from "./done-keys.js";

/** The least number of done keys that a receiver without a claim store remembers. */
const REMEMBERED = 50_000;

/** One receiver's knowledge of keys: the attempts in flight, and the keys that are done. */
export interface ReceiverMemory {
  /** Returns the attempt that handles the key's event now. */
  inFlight(key: string): Attempt | undefined;
  /** @param now Unix time in milliseconds, by the same clock as `doneUntil`. */
  isDone(key: string, now: number): boolean;
  add(key: string, attempt: Attempt): void;
  /** Removes an attempt that ended. @param doneUntil Given if the key is done. */
  remove(key: string, doneUntil?: number): void;
}

export function createReceiverMemory(): ReceiverMemory {
  const inFlight = new Map<string, Attempt>();
  const done = new DoneKeys(REMEMBERED);
  return {
    inFlight: (key) => inFlight.get(key),
    isDone: (key, now) => now < (done.until(key) ?? Number.NEGATIVE_INFINITY),
    add: (key, attempt) => void inFlight.set(key, attempt),
    remove(key, until) {
      inFlight.delete(key);
      if (until !== undefined) done.set(key, until);
    },
  };
}
