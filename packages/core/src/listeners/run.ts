import type { EventMap, ParsedEvent, ReceivedEvent, UnrecognizedEvent } from "../event.js";
import { waitAtMost } from "../values/deadline.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { contextWithoutDelivery, type ListenerContext } from "./context.js";
import { type AnyListener, runAll, runWithin, type TimeLimit } from "./time-limit.js";

/**
 * Runs an event's listeners and calls `onError` listeners with each error. Then returns the errors. Never
 * throws or rejects.
 *
 * @param contextFor Returns the context. If there is a time limit, the context's signal must include it.
 */
export type RunListeners<Events extends EventMap> = (
  event: ReceivedEvent<Events>,
  contextFor: (limit?: TimeLimit) => ListenerContext,
) => MaybePromise<readonly unknown[]>;

/** Tells the operator of events that the app does not handle. */
export interface Operator {
  /** Gets an event that failed while no `onError` listener was registered, and its errors. */
  onUnreported(event: ReceivedEvent, failures: readonly unknown[]): void;
  /** Gets an event that no listener takes. */
  onIgnored(event: ReceivedEvent): void;
}

/** Each method returns the listeners that are registered at this moment. */
export interface RegisteredListeners {
  of(type: string): readonly AnyListener[];
  any(): readonly AnyListener[];
  unrecognized(): readonly AnyListener[];
  errors(): readonly AnyListener[];
}

/**
 * Makes the function that runs an event's listeners.
 *
 * @param timeout How long an event's listeners may run, in seconds. Default: no limit.
 * @param operator Is told of events that the app does not handle.
 */
export function createListenerRunner<Events extends EventMap>(
  listeners: RegisteredListeners,
  timeout: number | undefined,
  operator: Operator,
): RunListeners<Events> {
  return function runListeners(event, contextFor) {
    const all = listenersFor(event);
    if (all === undefined)
      return report(event, [new TypeError(describeProblems(event as UnrecognizedEvent))]);
    const [first] = all;
    if (first === undefined) {
      operator.onIgnored(event);
      return IGNORED;
    }
    if (timeout !== undefined) {
      const ran = runWithin(timeout, all, event, contextFor, (error) => {
        if (listeners.errors().length === 0) operator.onUnreported(event, [error]);
        void notify(event, [error]);
      });
      return andThen(ran, (failures) => report(event, failures));
    }
    // One listener is the usual case. `runAll` would allocate two lists for it.
    if (all.length === 1) return runOne(first, event, contextFor(), (error) => report(event, [error]));
    return andThen(runAll(all, event, contextFor()), (failures) => report(event, failures));
  };

  /** Returns `undefined` for an invalid event without an `onUnrecognized` listener: it fails. */
  function listenersFor({ type, problems }: ReceivedEvent<Events>): readonly AnyListener[] | undefined {
    if (problems === undefined) return concat(listeners.of(type), listeners.any());
    if (problems.length === 0) return concat(listeners.unrecognized(), listeners.any());
    const unrecognized = listeners.unrecognized();
    return unrecognized.length > 0 ? unrecognized : undefined;
  }

  function report(
    event: ReceivedEvent<Events>,
    failures: readonly unknown[],
  ): MaybePromise<readonly unknown[]> {
    if (failures.length === 0) return failures;
    if (listeners.errors().length === 0) operator.onUnreported(event, failures);
    const notified = notify(event, failures);
    return andThen(timeout === undefined ? notified : waitAtMost(timeout * 1000, notified), () => failures);
  }

  /** Calls `onError` listeners, and waits for those that return a promise. */
  function notify(event: ReceivedEvent<Events>, failures: readonly unknown[]): MaybePromise<unknown> {
    const pending: PromiseLike<unknown>[] = [];
    for (const error of failures) {
      const late = runAll(listeners.errors(), error, event);
      if (isThenable(late)) pending.push(late);
    }
    return pending.length === 0 ? undefined : Promise.all(pending);
  }
}

/** Returned in place of the errors if no listener takes the event. Compared by identity. */
export const IGNORED: readonly never[] = [];
const NONE: readonly never[] = [];
const none = () => NONE;

/** Calls one listener and waits for its promise. If it fails, returns the result of `onFailure`. */
function runOne<Event>(
  listener: AnyListener,
  event: Event,
  context: ListenerContext,
  onFailure: (error: unknown) => MaybePromise<readonly unknown[]>,
): MaybePromise<readonly unknown[]> {
  try {
    const result = listener(event, context);
    return isThenable(result) ? Promise.resolve(result).then(none, onFailure) : NONE;
  } catch (error) {
    return onFailure(error);
  }
}

function concat(a: readonly AnyListener[], b: readonly AnyListener[]): readonly AnyListener[] {
  return b.length === 0 ? a : a.length === 0 ? b : [...a, ...b];
}

function describeProblems(event: UnrecognizedEvent): string {
  return `The data of event ${event.id || "(without an id)"} does not fit ${JSON.stringify(event.type)}: ${event.problems.join("; ")}. Register onUnrecognized to handle such events.`;
}

/**
 * Runs the listeners of an event that a sink stored.
 *
 * @throws the listener's error, or an `AggregateError` if several failed.
 */
export async function runStored<Events extends EventMap>(
  runListeners: RunListeners<Events>,
  event: ParsedEvent<Events>,
  context: Omit<ListenerContext, "delivery" | "stale">,
): Promise<void> {
  const failures = await runListeners(event as ReceivedEvent<Events>, (limit) =>
    contextWithoutDelivery({ ...context, stale: false }, limit),
  );
  if (failures.length > 1) throw new AggregateError(failures, "Several listeners failed.");
  if (failures.length === 1) throw failures[0];
}
