import { ERRORS, type ErrorCode } from "../errors.js";
import type { Counts, Outcome } from "../outcome.js";
import { isRefusal, type Result, summarize } from "../reply.js";
import { startOf } from "../text/describe.js";

/**
 * One delivery and its outcome, as plain data without payload or secret. Events are listed only if the
 * delivery was verified or the receiver is `unsigned`. Even then, an attacker may have chosen their ids if
 * the provider does not sign ids (Prolific) or the receiver is `unsigned`.
 */
export interface DeliveryRecord {
  readonly provider: string;
  /** Whether a webhook brought the events, or recovery found them in the platform's API. */
  readonly source: EventSource;
  /** The reply's status. */
  readonly status: number;
  /** `undefined` if every event succeeded. */
  readonly code: ErrorCode | undefined;
  /**
   * The cause, in a sentence for the operator; `undefined` if every event succeeded. The sender never
   * sees it. At most once a minute, the receiver also looks for the likely mistake behind a mismatch.
   */
  readonly reason: string | undefined;
  readonly counts: Counts;
  /** In the order of the delivery. Empty if the delivery was refused. */
  readonly events: readonly EventRecord[];
  /** The size of the body; `undefined` if the body was not read. */
  readonly bytes: number | undefined;
  /** In milliseconds, by a monotonic clock. */
  readonly durations: {
    /** Getting the secret and verifying the signature and its time; 0 if the delivery was refused before. */
    readonly verify: number;
    /** Claiming the events, running the listeners or the sink, and settling; 0 if the delivery was refused. */
    readonly handle: number;
    /** The whole delivery, including the wait for its body. */
    readonly total: number;
  };
}

/** How an event came to the receiver. */
export type EventSource = "delivery" | "recovery";

/** One event in the record of its delivery. It has no payload. */
export interface EventRecord {
  readonly id: string;
  /** At most 255 characters. A longer type is cut off. */
  readonly type: string;
  readonly outcome: Outcome;
}

/** In UTF-16 units. Apps keep records, and a sender can invent types. */
const TYPE_MAX = 255;

const NO_COUNTS: Counts = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

/** Collects the result of one observed delivery, and times by `performance.now()`. */
export class Trace {
  readonly #started = performance.now();
  readonly #publish: (trace: Trace) => void;
  verifying?: number;
  verified?: number;
  handling?: number;
  body?: Uint8Array;
  result: Result = { code: "INTERNAL_ERROR" };

  constructor(publish: (trace: Trace) => void) {
    this.#publish = publish;
  }

  /** Publishes the record. Must be called once, before `handle` resolves. */
  end(): void {
    this.#publish(this);
  }

  record(provider: string, source: EventSource): DeliveryRecord {
    const { result, verifying = 0, verified = verifying, handling, body } = this;
    const ended = performance.now();
    const { code, counts = NO_COUNTS } = summarize(result);
    return {
      provider,
      source,
      status: code === undefined ? 200 : ERRORS[code].status,
      code,
      reason: (isRefusal(result) ? result.reason : undefined) ?? (code && ERRORS[code].message),
      counts,
      events: isRefusal(result)
        ? []
        : result.map(({ event: { id, type }, outcome }) => ({
            id,
            type: startOf(type, TYPE_MAX),
            outcome: outcome as Outcome,
          })),
      bytes: body?.byteLength,
      durations: {
        verify: verified - verifying,
        handle: handling === undefined ? 0 : ended - handling,
        total: ended - this.#started,
      },
    };
  }
}
