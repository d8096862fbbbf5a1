import { publish } from "#diagnostics";
import { type Counts, type DeliveryHeaders, isThenable } from "./delivery.js";
import { type ErrorCode, kindOf } from "./errors.js";
import type { ReceivedEvent } from "./event.js";
import type { Outcome } from "./turns.js";

/**
 * What became of one delivery: plain data, with no payload and no secret. The ids of events that
 * are in it were signed, or, where the provider does not sign them, came with a signed body.
 */
export interface DeliveryRecord {
  readonly provider: string;
  /** Of the reply. */
  readonly status: number;
  /** `undefined` if all went well. */
  readonly code: ErrorCode | undefined;
  /**
   * Why, in a sentence for the operator, which the sender never sees; `undefined` if all went well.
   * What takes work to find out, such as why a signature does not fit, is looked into once a minute.
   */
  readonly reason: string | undefined;
  readonly counts: Counts;
  /** In the order of the delivery; empty unless it was verified and read. */
  readonly events: readonly EventRecord[];
  /** Size of the body in bytes; `undefined` if it was not read. */
  readonly bytes: number | undefined;
  /** In milliseconds, by a clock that runs on. */
  readonly durations: {
    /** Finding the secret and checking the signature; 0 if it did not come to that. */
    readonly verify: number;
    /** Claiming, running listeners or handing over to the sink, settling; 0 if it did not come to that. */
    readonly handle: number;
    /** All of it, waiting for the body included. */
    readonly total: number;
  };
}

export interface EventRecord {
  readonly id: string;
  readonly type: string;
  readonly outcome: Outcome;
}

/**
 * Runs around deliveries and events, for what has to be there while they happen, such as a span.
 * Each method must call `run` once, and at once. Neither what it returns nor what it throws matters.
 */
export interface Instrumentation {
  delivery(
    delivery: { readonly provider: string; readonly headers: DeliveryHeaders },
    run: () => Promise<DeliveryRecord>,
  ): unknown;
  /** `run` resolves with what the event's listeners threw; with an empty list if none of them failed. */
  event(event: ReceivedEvent, run: () => Promise<readonly unknown[]>): unknown;
}

/** Calls `run` inside of `around`, once, whatever that does. */
export function runInside<T>(
  around: (run: () => Promise<T>) => unknown,
  run: () => Promise<T>,
  onTrouble: (trouble: string) => void,
): Promise<T> {
  let running: Promise<T> | undefined;
  const once = () => {
    running ??= run();
    return running;
  };
  harmless(() => around(once), onTrouble);
  return once();
}

/** Tells the observer and, where there is one, the channel `crowdhook:delivery`. */
export function tell(
  record: DeliveryRecord,
  observe: ((record: DeliveryRecord) => unknown) | undefined,
  onTrouble: (trouble: string) => void,
): void {
  if (observe) harmless(() => observe(record), onTrouble);
  harmless(() => publish(record), onTrouble);
}

function harmless(call: () => unknown, onTrouble: (trouble: string) => void): void {
  const trouble = (error: unknown) => onTrouble(`failed (${kindOf(error)}); deliveries are not affected`);
  try {
    const result = call();
    if (isThenable(result)) Promise.resolve(result).then(undefined, trouble);
  } catch (error) {
    trouble(error);
  }
}
