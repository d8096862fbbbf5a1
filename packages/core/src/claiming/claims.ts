import type { MaybePromise } from "../values/maybe-promise.js";
import { DoneKeys } from "./done.js";
import { RecentMap } from "./recent.js";

/** Won: yours to handle. Busy: another owner is at it. Done: it was handled before. */
export type Claim = "won" | "busy" | "done";

/**
 * Keeps the claims: who may handle an event, and which events are done. Each method must be atomic.
 * A store that throws, rejects or does not answer within three seconds costs a 503 and a
 * redelivery, never an event. `claimStoreChecks` of `@crowdhook/core/testing` test one.
 */
export interface ClaimStore {
  /**
   * Takes the claim of `key` for `owner`, until it is settled or released or, at the latest, for
   * `lease` milliseconds. An owner that holds it already wins it again, for a new lease.
   */
  claim(key: string, owner: string, lease: number): MaybePromise<Claim>;
  /**
   * Marks `key` as done for `ttl` milliseconds: also after the lease, unless someone else took over.
   * Resolves to `false`, and changes nothing, if another owner holds the claim or it is done.
   */
  settle(key: string, owner: string, ttl: number): MaybePromise<boolean>;
  /** Gives the claim up, so that a redelivery can win it. Nothing happens if `owner` does not hold it. */
  release(key: string, owner: string): MaybePromise<void>;
  /** For `detectStale`: the latest time that `recordOccurrence` was given for `key`, if it is remembered. */
  latestOccurrence?(key: string): MaybePromise<number | undefined>;
  /** For `detectStale`: remembers the later one of `time` and the time known for `key`, for `ttl` milliseconds. */
  recordOccurrence?(key: string, time: number, ttl: number): MaybePromise<void>;
}

export interface MemoryClaimsOptions {
  /**
   * How many keys that are done are remembered at the least, and half of how many at the most. An
   * event of Toloka takes one, one of Prolific two. Default 50,000.
   */
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
export function memoryClaims(options: MemoryClaimsOptions = {}): Required<ClaimStore> {
  const { max = 50_000, clock = Date.now } = options;
  if (!Number.isSafeInteger(max) || max < 1) {
    throw new TypeError(`memoryClaims: max must be a positive whole number, not ${String(max)}.`);
  }
  const held = new Map<string, { owner: string; until: number }>();
  const done = new DoneKeys(max);
  const latest = new RecentMap<{ time: number; until: number }>(max);

  const isDone = (key: string) => clock() < done.until(key);
  const holderOf = (key: string) => {
    const holder = held.get(key);
    return holder !== undefined && clock() < holder.until ? holder.owner : undefined;
  };
  /** Not every claim is settled or released: the oldest go when their lease is over. */
  const dropExpired = () => {
    for (const [key, { until }] of held) {
      if (clock() < until) return;
      held.delete(key);
    }
  };
  const latestOf = (key: string) => {
    const known = latest.get(key);
    return known !== undefined && clock() < known.until ? known.time : undefined;
  };

  return {
    claim(key, owner, lease) {
      if (isDone(key)) return "done";
      const holder = holderOf(key);
      if (holder !== undefined && holder !== owner) return "busy";
      dropExpired();
      // Anew, so that the oldest come first.
      held.delete(key);
      held.set(key, { owner, until: clock() + lease });
      return "won";
    },
    settle(key, owner, ttl) {
      if (isDone(key) || (holderOf(key) ?? owner) !== owner) return false;
      held.delete(key);
      done.set(key, clock() + ttl);
      return true;
    },
    release(key, owner) {
      if (holderOf(key) === owner) held.delete(key);
    },
    latestOccurrence: latestOf,
    recordOccurrence(key, time, ttl) {
      latest.set(key, { time: Math.max(time, latestOf(key) ?? time), until: clock() + ttl });
    },
  };
}
