/**
 * The number of events of a delivery by outcome. A `settle_failed` event counts by what was handled. A
 * `claim_failed` or `sink_failed` event does not count.
 */
export interface Counts {
  /** All listeners succeeded, or the sink accepted the event. */
  readonly handled: number;
  /** No listener takes events of this type. The event can be claimed again, once a listener does. */
  readonly ignored: number;
  /** The event was handled before, or by a concurrent delivery. */
  readonly duplicate: number;
  /** A listener failed or timed out, or an invalid event found no `onUnrecognized` listener. */
  readonly failed: number;
  /** Another attempt holds the event's claim and has not ended yet. */
  readonly busy: number;
  /** The event is an `UnrecognizedEvent`, and no listener failed. */
  readonly unrecognized: number;
}

/**
 * The outcome of an attempt. `claim_failed`: the store failed before the event was handled.
 * `settle_failed`: the event was handled, but the store failed afterwards. `sink_failed`: the sink
 * failed to accept the event.
 */
export type Outcome = keyof Counts | "claim_failed" | "settle_failed" | "sink_failed";

/** Returns whether the event is done, so that a redelivery of it is a duplicate. An ignored event is not done. */
export function isDone(outcome: Outcome): boolean {
  return outcome === "handled" || outcome === "unrecognized" || outcome === "duplicate";
}
