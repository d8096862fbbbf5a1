import QuickLRU from "quick-lru";
import type { MaybePromise } from "./delivery.js";

/** Won: yours to handle. Busy: another owner is at it. Done: it was handled before. */
export type Claim = "won" | "busy" | "done";

/**
 * Keeps the claims: who may handle an event, and which events are done. Each method must be atomic.
 * A store that throws, rejects or is away costs a 503 and a redelivery, never an event.
 */
export interface ClaimStore {
  /**
   * Takes the claim of `key` for `owner`, until it is settled or released or, at the latest, for
   * `lease` milliseconds.
   */
  claim(key: string, owner: string, lease: number): MaybePromise<Claim>;
  /**
   * Marks `key` as done for `ttl` milliseconds. Resolves to `false`, and changes nothing, if
   * `owner` does not hold the claim (any more).
   */
  settle(key: string, owner: string, ttl: number): MaybePromise<boolean>;
  /** Gives the claim up, so that a redelivery can win it. Nothing happens if `owner` does not hold it. */
  release(key: string, owner: string): MaybePromise<void>;
}

export interface MemoryClaimsOptions {
  /** How many handled events are remembered at the least, and half of how many at the most. Default 50,000. */
  readonly max?: number;
  /** Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: () => number;
}

/**
 * Claims in this process's memory: gone with it, and unknown to any other process. Claims that are
 * held are never evicted; of those that are done, the least recently used go first.
 *
 * @throws TypeError if `max` is not a positive whole number.
 */
export function memoryClaims(options: MemoryClaimsOptions = {}): ClaimStore {
  const { max = 50_000, clock = Date.now } = options;
  if (!Number.isSafeInteger(max) || max < 1) {
    throw new TypeError(`memoryClaims: max must be a positive whole number, not ${String(max)}.`);
  }
  const held = new Map<string, { owner: string; until: number }>();
  const done = new QuickLRU<string, number>({ maxSize: max });
  return {
    claim(key, owner, lease) {
      const now = clock();
      const doneUntil = done.get(key);
      if (doneUntil !== undefined && now < doneUntil) return "done";
      const holder = held.get(key);
      if (holder !== undefined && holder.owner !== owner && now < holder.until) return "busy";
      held.set(key, { owner, until: now + lease });
      return "won";
    },
    settle(key, owner, ttl) {
      if (held.get(key)?.owner !== owner) return false;
      held.delete(key);
      done.set(key, clock() + ttl);
      return true;
    },
    release(key, owner) {
      if (held.get(key)?.owner === owner) held.delete(key);
    },
  };
}
