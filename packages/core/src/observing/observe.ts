import { hasSubscribers, publish } from "#diagnostics";
import { type DeliveryHeaders, type IncomingDelivery, toHeaders } from "../delivery.js";
import { ERRORS, type ErrorCode, kindOf } from "../errors.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { RunListeners } from "../listeners/registry.js";
import type { Counts, Outcome } from "../outcome.js";
import { isRefusal, type Reply, type Result, summarize } from "../reply.js";
import { isThenable } from "../values/maybe-promise.js";
import type { Log } from "./log.js";

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

/** Who watches a receiver. */
interface Observers {
  readonly observe?: ((record: DeliveryRecord) => unknown) | undefined;
  readonly instrumentation?: Instrumentation | undefined;
}

/** What is measured of one delivery that someone observes. Times are `performance.now()`. */
export class Trace {
  readonly #started = performance.now();
  readonly #publish: (trace: Trace) => void;
  /** When checking the signature began, and ended. */
  verifying?: number;
  verified?: number;
  /** When handling the events began. */
  handling?: number;
  /** The size of the body. */
  bytes?: number;
  result: Result = { code: "INTERNAL_ERROR" };

  constructor(publish: (trace: Trace) => void) {
    this.#publish = publish;
  }

  /** Tells the observers. To be called once, before the delivery leaves the receiver. */
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

const NO_COUNTS: Counts = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

/** Processes one delivery. With a trace, notes in it what becomes of that, and ends it. */
type Process = (incoming: IncomingDelivery, trace?: Trace) => Promise<Reply>;

/** Has a delivery processed; with a trace, and inside the instrumentation, only if someone observes it. */
export function observed(
  provider: string,
  { observe, instrumentation }: Observers,
  log: Log,
  process: Process,
): (incoming: IncomingDelivery) => Promise<Reply> {
  return (incoming) => {
    if (!observe && !instrumentation && !hasSubscribers()) return process(incoming);
    let record: DeliveryRecord;
    const trace = new Trace((trace) => {
      record = trace.record(provider);
      if (observe)
        harmless(
          () => observe(record),
          (trouble) => log("observe", trouble),
        );
      harmless(
        () => publish(record),
        (trouble) => log("observe", trouble),
      );
    });
    if (!instrumentation) return process(incoming, trace);
    let reply: Promise<Reply> | undefined;
    const run = () => {
      reply = process(incoming, trace);
      return reply.then(() => record);
    };
    return runInside(
      (run) => instrumentation.delivery({ provider, headers: toHeaders(incoming.headers) }, run),
      run,
      (trouble) => log("instrumentation", trouble),
    ).then(() => reply as Promise<Reply>);
  };
}

/** Runs listeners inside the instrumentation, where there is one. */
export function instrumented<Events extends EventMap>(
  { instrumentation }: Observers,
  log: Log,
  runListeners: RunListeners<Events>,
): RunListeners<Events> {
  if (!instrumentation) return runListeners;
  return (event, contextFor) => {
    let failures: readonly unknown[] = [];
    const run = async () => {
      failures = await runListeners(event, contextFor);
      // A copy: what the instrumentation does with it must not make a failure a success.
      return [...failures];
    };
    return runInside(
      (run) => instrumentation.event(event, run),
      run,
      (trouble) => log("instrumentation", trouble),
    ).then(() => failures);
  };
}

/** Calls `run` inside of `around`, once, whatever that does. */
function runInside<T>(
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

function harmless(call: () => unknown, onTrouble: (trouble: string) => void): void {
  const trouble = (error: unknown) => onTrouble(`failed (${kindOf(error)}); deliveries are not affected`);
  try {
    const result = call();
    if (isThenable(result)) Promise.resolve(result).then(undefined, trouble);
  } catch (error) {
    trouble(error);
  }
}
