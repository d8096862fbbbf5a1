import type { MaybePromise } from "../values/maybe-promise.js";

/** Won: this owner may handle the event. Busy: another owner holds the claim. Done: the event was handled. */
export type Claim = "won" | "busy" | "done";

/**
 * Keeps claims: which owner may handle an event, and which events are done. Each method must be atomic.
 *
 * A call fails if it throws, rejects or takes longer than three seconds. If `claim` or `settle` of an
 * event fails, the reply is 503 and the provider retries. If another call fails, the reply stays the
 * same; a claim that was not released ends with its lease. `claimStoreChecks` of
 * `@crowdhook/core/conformance` test a store.
 */
export interface ClaimStore {
  /**
   * Claims `key` for `owner` until it is settled or released, for `lease` milliseconds at most. An owner
   * that already holds the claim wins it again, with a new lease.
   */
  claim(key: string, owner: string, lease: number): MaybePromise<Claim>;
  /**
   * Marks `key` as done for `ttl` milliseconds. This works after the lease, too, unless another owner
   * took the claim over. Resolves to `false`, and changes nothing, if another owner holds the claim or
   * the key is already done.
   */
  settle(key: string, owner: string, ttl: number): MaybePromise<boolean>;
  /** Releases the claim, so that a redelivery can win it. Does nothing if `owner` does not hold it. */
  release(key: string, owner: string): MaybePromise<void>;
  /** For `detectStale`: returns the latest time recorded for `key`, if the store remembers it. */
  latestOccurrence?(key: string): MaybePromise<number | undefined>;
  /** For `detectStale`: remembers the later of `time` and the recorded time of `key`, for `ttl` milliseconds. */
  recordOccurrence?(key: string, time: number, ttl: number): MaybePromise<void>;
}
