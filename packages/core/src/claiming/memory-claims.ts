import { RecentMap } from "../values/recent-map.js";
import type { ClaimStore } from "./claim-store.js";

/** How much a claim store in memory remembers. */
export interface MemoryClaimsOptions {
  /**
   * The store remembers at least this many done keys, and at most twice as many. An event of Toloka takes
   * one key, an event of Prolific two. Default 50,000.
   */
  readonly max?: number;
  /** Returns Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: () => number;
}

/**
 * Keeps claims in this process's memory: they end with the process, and no other process sees them.
 * Held claims are never evicted. Of the done keys, the least recently used are evicted first.
 *
 * @throws TypeError if `max` is not a positive whole number.
 */
export function memoryClaims(options: MemoryClaimsOptions = {}): Required<ClaimStore> {
  if (typeof options !== "object") {
    throw new TypeError(
      `memoryClaims takes options such as { max: ${String(options)} }, not ${typeof options}.`,
    );
  }
  const { max = 50_000, clock = Date.now } = options;
  if (!Number.isSafeInteger(max) || max < 1) {
    throw new TypeError(`memoryClaims: max must be a positive whole number, not ${String(max)}.`);
  }
  const held = new Map<string, { owner: string; until: number }>();
  const doneUntil = new RecentMap<number>(max);
  const latest = new RecentMap<{ time: number; until: number }>(max);

  const isDone = (key: string) => clock() < (doneUntil.get(key) ?? Number.NEGATIVE_INFINITY);
  const holderOf = (key: string) => {
    const holder = held.get(key);
    return holder !== undefined && clock() < holder.until ? holder.owner : undefined;
  };
  /** Drops the oldest claims whose lease is over: some owners never settle or release. */
  const dropExpired = () => {
    for (const [key, { until }] of held) {
      if (clock() < until) return;
      held.delete(key);
    }
  };
  const latestOccurrence = (key: string) => {
    const known = latest.get(key);
    return known !== undefined && clock() < known.until ? known.time : undefined;
  };

  return {
    claim(key, owner, lease) {
      if (isDone(key)) return "done";
      const holder = holderOf(key);
      if (holder !== undefined && holder !== owner) return "busy";
      dropExpired();
      // Deleted first, because a Map keeps the place of a key that it already has.
      held.delete(key);
      held.set(key, { owner, until: clock() + lease });
      return "won";
    },
    settle(key, owner, ttl) {
      if (isDone(key) || (holderOf(key) ?? owner) !== owner) return false;
      held.delete(key);
      doneUntil.set(key, clock() + ttl, ttl, clock());
      return true;
    },
    release(key, owner) {
      if (holderOf(key) === owner) held.delete(key);
    },
    latestOccurrence,
    recordOccurrence(key, time, ttl) {
      const known = latestOccurrence(key) ?? time;
      latest.set(key, { time: Math.max(time, known), until: clock() + ttl }, ttl, clock());
    },
  };
}
