/** How many events of a delivery had which outcome. What no store or sink took is in none of them. */
export interface Counts {
  /** Listeners ran, and none failed. */
  readonly handled: number;
  /** Handled before, or by a concurrent delivery. */
  readonly duplicate: number;
  /** A listener failed, or the data does not fit its type and no listener took it all the same. */
  readonly failed: number;
  /** Another process is at it right now. */
  readonly busy: number;
  /** Of a type, or with data, that this release does not know; listeners for that ran. */
  readonly unrecognized: number;
}

/**
 * What became of an event. Unclaimed: the store failed before. Unsettled: it was handled, but the
 * store failed after. Unsunk: the sink did not take it.
 */
export type Outcome = keyof Counts | "claim_failed" | "settle_failed" | "sink_failed";

export function isSuccess(outcome: Outcome): boolean {
  return outcome === "handled" || outcome === "unrecognized" || outcome === "duplicate";
}
