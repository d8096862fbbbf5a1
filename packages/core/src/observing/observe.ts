import { hasSubscribers, publish } from "#diagnostics";
import { type DeliveryHeaders, toHeaders } from "../delivery.js";
import { kindOf } from "../errors.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { RunListeners } from "../listeners/run.js";
import { isThenable } from "../values/maybe-promise.js";
import type { Log } from "./log.js";
import { type DeliveryRecord, type EventSource, Trace } from "./trace.js";
import type { WatchedRequest, Watching } from "./watching.js";

/**
 * Wraps deliveries and events, for example in a span. Each method must call `run` before it returns; if
 * it does not, the receiver does. The receiver ignores what a method returns, and logs its errors.
 */
export interface Instrumentation {
  delivery(
    delivery: { readonly provider: string; readonly headers: DeliveryHeaders },
    run: () => Promise<DeliveryRecord>,
  ): unknown;
  /** `run` resolves with the errors of the event's listeners. The list is empty if none failed. */
  event(event: ReceivedEvent, run: () => Promise<readonly unknown[]>): unknown;
}

interface Observers {
  readonly observe?: ((record: DeliveryRecord) => unknown) | undefined;
  readonly instrumentation?: Instrumentation | undefined;
}

/**
 * Calls `handle` with a trace and inside the instrumentation. `handle` records the delivery in the trace
 * and ends it. Without observers there is no trace.
 */
export type Observed = <Result>(
  source: EventSource,
  incoming: WatchedRequest,
  handle: (trace?: Trace) => Promise<Result>,
) => Promise<Result>;

export function createObserved(
  provider: string,
  { observe, instrumentation }: Observers,
  watching: Watching,
  log: Log,
): Observed {
  return <Result>(
    source: EventSource,
    incoming: WatchedRequest,
    handle: (trace?: Trace) => Promise<Result>,
  ) => {
    if (!observe && !instrumentation && !hasSubscribers() && !watching.isWatched()) return handle();
    let record: DeliveryRecord;
    const onTrouble = (trouble: string) => log("observe", trouble);
    const trace = new Trace((trace) => {
      record = trace.record(provider, source);
      if (observe) runSafely(() => observe(record), onTrouble);
      runSafely(() => publish(record), onTrouble);
      if (source === "delivery") runSafely(() => watching.tell(incoming, trace, record), onTrouble);
    });
    if (!instrumentation) return handle(trace);
    let result: Promise<Result> | undefined;
    const run = () => {
      result = handle(trace);
      return result.then(() => record);
    };
    return runInside(
      (run) => instrumentation.delivery({ provider, headers: toHeaders(incoming.headers) }, run),
      run,
      (trouble) => log("instrumentation", trouble),
    ).then(() => result as Promise<Result>);
  };
}

/** Returns `runListeners` inside the instrumentation, if there is one. */
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
      // A copy, so that the instrumentation cannot turn a failure into a success.
      return [...failures];
    };
    return runInside(
      (run) => instrumentation.event(event, run),
      run,
      (trouble) => log("instrumentation", trouble),
    ).then(() => failures);
  };
}

/** Calls `run` inside `around`, exactly once, even if `around` throws, does not call it or calls it twice. */
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
  runSafely(() => around(once), onTrouble);
  return once();
}

/** Calls the user's function. Reports its error, or the rejection of its promise, to `onTrouble` only. */
function runSafely(call: () => unknown, onTrouble: (trouble: string) => void): void {
  const report = (error: unknown) => onTrouble(`failed (${kindOf(error)}). Deliveries are not affected.`);
  try {
    const result = call();
    if (isThenable(result)) Promise.resolve(result).then(undefined, report);
  } catch (error) {
    report(error);
  }
}
