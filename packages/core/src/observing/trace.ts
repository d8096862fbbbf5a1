import { ERRORS, type ErrorCode } from "../errors.js";
import type { Counts, Outcome } from "../outcome.js";
import { isRefusal, type Result, summarize } from "../reply.js";

/**
 * One delivery and its outcome, as plain data without payload or secret. The ids of its events were
 * signed or, where the provider does not sign them, came with a signed body.
 */
export interface DeliveryRecord {
  readonly provider: string;
  /** The reply's status. */
  readonly status: number;
  /** `undefined` if every event succeeded. */
  readonly code: ErrorCode | undefined;
  /**
   * The cause, in a sentence for the operator that the sender never sees; `undefined` if every event
   * succeeded. A cause that takes work to find, such as that of a mismatch, is looked for once a minute.
   */
  readonly reason: string | undefined;
  readonly counts: Counts;
  /** In the order of the delivery. Empty unless the delivery was verified and read. */
  readonly events: readonly EventRecord[];
  /** The size of the body in bytes; `undefined` if it was not read. */
  readonly bytes: number | undefined;
  /** In milliseconds, by a monotonic clock. */
  readonly durations: {
    /** Getting the secret and checking the signature; 0 if the delivery was refused before. */
    readonly verify: number;
    /** Claiming, running listeners or handing over to the sink, and settling; 0 if refused before. */
    readonly handle: number;
    /** The whole delivery, including the wait for its body. */
    readonly total: number;
  };
}

export interface EventRecord {
  readonly id: string;
  readonly type: string;
  readonly outcome: Outcome;
}

const NO_COUNTS: Counts = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

/** Collects the times and the result of one observed delivery. Times are `performance.now()`. */
export class Trace {
  readonly #started = performance.now();
  readonly #publish: (trace: Trace) => void;
  /** When checking the signature began. */
  verifying?: number;
  /** When checking the signature ended. */
  verified?: number;
  /** When dispatching the events began. */
  handling?: number;
  /** The size of the body. */
  bytes?: number;
  result: Result = { code: "INTERNAL_ERROR" };

  constructor(publish: (trace: Trace) => void) {
    this.#publish = publish;
  }

  /** Publishes the trace. Must be called once, before the delivery leaves the receiver. */
  end(): void {
    this.#publish(this);
  }

  record(provider: string): DeliveryRecord {
    const { result, verifying = 0, verified = verifying, handling, bytes } = this;
    const ended = performance.now();
    const { code, counts = NO_COUNTS } = summarize(result);
    return {
      provider,
      status: code === undefined ? 200 : ERRORS[code].status,
      code,
      reason: (isRefusal(result) ? result.reason : undefined) ?? (code && ERRORS[code].message),
      counts,
      events: isRefusal(result)
        ? []
        : result.map(({ event: { id, type }, outcome }) => ({ id, type, outcome: outcome as Outcome })),
      bytes,
      durations: {
        verify: verified - verifying,
        handle: handling === undefined ? 0 : ended - handling,
        total: ended - this.#started,
      },
    };
  }
}
