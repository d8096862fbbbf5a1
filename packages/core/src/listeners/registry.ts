import type { Delivery } from "../delivery.js";
import type { EventMap, EventType, ReceivedEvent, UnrecognizedEvent, WebhookEvent } from "../event.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { type AnyListener, atMost, runAll, runWithin, type TimeLimit } from "./time-limit.js";

/** What a listener gets beside the event. */
export interface ListenerContext {
  /**
   * The verified request that the event came in. Behind a sink, which keeps events and not
   * deliveries, reading it throws.
   */
  readonly delivery: Delivery;
  /**
   * Aborts when the sender hangs up: nobody will see the answer, and the event will come again if it
   * fails. Behind a sink, when the worker gives the event up. With the `timeout` option, when that is over.
   */
  readonly signal: AbortSignal;
  /**
   * With `detectStale`: a later event of the same type and subject was handled before this one.
   * False where the store cannot tell.
   */
  readonly stale: boolean;
  /** Behind a sink: how often the event has been tried, this time included. */
  readonly attempt?: number;
  /** Behind a sink that keeps it: notes how far the listener is. */
  readonly progress?: (value: number | object) => Promise<void>;
}

/** What it returns is awaited; what it throws fails the event. */
export type Listener<Event> = (event: Event, context: ListenerContext) => unknown;

/** Listeners by event type. */
export type ListenerMap<Events extends EventMap> = {
  readonly [Type in EventType<Events>]?: Listener<WebhookEvent<Events, Type>>;
};

/** Takes the listener off again. A second call does nothing. */
export type Off = () => void;

/**
 * Where listeners are registered. All listeners of an event start in the order of registration, run
 * concurrently and are waited for; the event failed if one of them did, and then all of them run
 * again when it is redelivered. One that is added or taken off while an event is being handled
 * counts from the next event on.
 */
export interface Listening<Events extends EventMap> {
  /**
   * Listens to events of one type, or of each type of a list.
   * @throws TypeError if the provider has no such type.
   */
  on<Type extends EventType<Events>>(
    type: Type | readonly Type[],
    listener: Listener<WebhookEvent<Events, Type>>,
  ): Off;
  /** Listens to every event whose type is known and whose data fits it, and to those of a new type. */
  onAny(listener: Listener<ReceivedEvent<Events>>): Off;
  /** Listens to events of a new type, and to those whose data does not fit their type. */
  onUnrecognized(listener: Listener<UnrecognizedEvent>): Off;
  /** Hears of every error a listener throws, of any value. What it throws itself is ignored. */
  onError(listener: (error: unknown, event: ReceivedEvent<Events>) => unknown): Off;
}

export interface Listeners<Events extends EventMap> extends Listening<Events> {
  /** The types that `on` listens to, in the provider's order; with an `onAny` listener all of them. */
  listenedTypes(): readonly EventType<Events>[];
  readonly run: RunListeners<Events>;
}

/**
 * Runs an event's listeners and gives what they threw, which `onError` has heard by then. Never
 * throws or rejects.
 *
 * @param contextFor Given the time limit where there is one, for the context's signal to be joined to.
 */
export type RunListeners<Events extends EventMap> = (
  event: ReceivedEvent<Events>,
  contextFor: (limit?: TimeLimit) => ListenerContext,
) => MaybePromise<readonly unknown[]>;

/**
 * @param timeout How long an event's listeners may take, in seconds. Without it, as long as they do.
 * @param onUnheard is told of a failed event when no `onError` listener is registered.
 */
export function createListeners<Events extends EventMap>(
  provider: { readonly name: string; readonly eventTypes: readonly string[] },
  timeout: number | undefined,
  onUnheard: (event: ReceivedEvent<Events>) => void,
): Listeners<Events> {
  const byType = new Map<string, ListenerList>(provider.eventTypes.map((type) => [type, new ListenerList()]));
  const any = new ListenerList();
  const unrecognized = new ListenerList();
  const errors = new ListenerList();

  /** Tells `onError` listeners, and waits for what they promise. */
  const tell = (event: ReceivedEvent<Events>, failures: readonly unknown[]): MaybePromise<unknown> => {
    const pending: PromiseLike<unknown>[] = [];
    for (const error of failures) {
      const late = runAll(errors.current, error, event);
      if (isThenable(late)) pending.push(late);
    }
    return pending.length === 0 ? undefined : Promise.all(pending);
  };

  const report = (
    event: ReceivedEvent<Events>,
    failures: readonly unknown[],
  ): MaybePromise<readonly unknown[]> => {
    if (failures.length === 0) return failures;
    if (errors.current.length === 0) onUnheard(event);
    const told = tell(event, failures);
    return andThen(timeout === undefined ? told : atMost(timeout, told), () => failures);
  };

  return {
    on(type, listener) {
      const lists = (Array.isArray(type) ? (type as readonly string[]) : [type as string]).map((name) => {
        const list = byType.get(name);
        if (list === undefined) {
          throw new TypeError(
            `${provider.name} has no event type ${JSON.stringify(name)}. It has ${provider.eventTypes.join(", ")}; a type that is newer than this release arrives at onUnrecognized.`,
          );
        }
        return list;
      });
      const offs = [...new Set(lists)].map((list) => list.add(listener));
      return () => {
        for (const off of offs) off();
      };
    },
    onAny: (listener) => any.add(listener),
    onUnrecognized: (listener) => unrecognized.add(listener),
    onError: (listener) => errors.add(listener),
    listenedTypes: () =>
      [...byType]
        .filter(([, list]) => any.current.length > 0 || list.current.length > 0)
        .map(([type]) => type as EventType<Events>),
    run(event, contextFor) {
      let listeners: readonly AnyListener[];
      if (event.problems === undefined) {
        listeners = concat(byType.get(event.type)?.current ?? NONE, any.current);
      } else if (event.problems.length === 0) {
        listeners = concat(unrecognized.current, any.current);
      } else if (unrecognized.current.length > 0) {
        listeners = unrecognized.current;
      } else {
        return report(event, [new TypeError(misfit(event))]);
      }
      const [only] = listeners;
      if (only === undefined) return NONE;
      if (timeout !== undefined) {
        const ran = runWithin(timeout, listeners, event, contextFor, (error) => void tell(event, [error]));
        return andThen(ran, (failures) => report(event, failures));
      }
      // What is common, without what only several listeners take.
      if (listeners.length === 1) return runOne(only, event, contextFor(), (error) => report(event, [error]));
      return andThen(runAll(listeners, event, contextFor()), (failures) => report(event, failures));
    },
  };
}

const NONE: readonly never[] = [];
const none = () => NONE;

/** Calls a listener, waits for it if it takes its time, and gives what `onFailure` makes of what it threw. */
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

/** Replaced rather than changed, so that a list being walked stays as it was. */
class ListenerList {
  current: readonly AnyListener[] = [];

  add(listener: AnyListener): Off {
    if (typeof listener !== "function") {
      throw new TypeError(
        `A listener must be a function, not ${listener === null ? "null" : typeof listener}.`,
      );
    }
    // A wrapper, so that a function registered twice is two entries, each with its own `off`.
    const entry: AnyListener = (event, context) => listener(event, context);
    this.current = [...this.current, entry];
    return () => {
      this.current = this.current.filter((other) => other !== entry);
    };
  }
}

function concat(a: readonly AnyListener[], b: readonly AnyListener[]): readonly AnyListener[] {
  return b.length === 0 ? a : a.length === 0 ? b : [...a, ...b];
}

function misfit(event: UnrecognizedEvent): string {
  return `The data of event ${event.id || "(without an id)"} does not fit ${JSON.stringify(event.type)}: ${event.problems.join("; ")}. Register onUnrecognized to take such events.`;
}
