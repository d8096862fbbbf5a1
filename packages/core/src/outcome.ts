/** How many events of a delivery had which outcome. Events that no store or sink took are not counted. */
export interface Counts {
  /** Listeners ran, and none failed. */
  readonly handled: number;
  /** The event was handled before, or by a concurrent delivery. */
  readonly duplicate: number;
  /** A listener failed, or the data does not fit its type and no listener took the event. */
  readonly failed: number;
  /** Another attempt holds the claim. */
  readonly busy: number;
  /** This release does not know the event's type, or the data does not fit it; listeners for that ran. */
  readonly unrecognized: number;
}

/**
 * The outcome of an attempt. `claim_failed`: the store failed before the event was handled.
 * `settle_failed`: the event was handled, but the store failed afterwards. `sink_failed`: the sink did
 * not take the event.
 */
export type Outcome = keyof Counts | "claim_failed" | "settle_failed" | "sink_failed";

/** Returns whether the event needs no redelivery. */
export function isSuccess(outcome: Outcome): boolean {
  return outcome === "handled" || outcome === "unrecognized" || outcome === "duplicate";
}
