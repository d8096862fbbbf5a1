import type { EventMap, EventType, ReceivedEvent, UnrecognizedEvent, WebhookEvent } from "../event.js";
import type { ListenerContext } from "./context.js";
import { createListenerRunner, type Operator, type RunListeners } from "./run.js";
import type { AnyListener } from "./time-limit.js";

/** Handles an event. The receiver waits for its promise. If it throws or rejects, the event fails. */
export type Listener<Event> = (event: Event, context: ListenerContext) => unknown;

/** Listeners by event type. */
export type ListenerMap<Events extends EventMap> = {
  readonly [Type in EventType<Events>]?: Listener<WebhookEvent<Events, Type>>;
};

/** Removes the listener. A second call does nothing. */
export type Off = () => void;

/**
 * Registers listeners. For each event, `on` or `onUnrecognized` listeners start before `onAny` listeners,
 * each group in the order of registration. They run concurrently, and the receiver waits for all.
 *
 * If one of them fails, the event fails, and all of them run again when it is redelivered. Adding or
 * removing a listener takes effect with the next event that starts; for `onError`, at once.
 */
export interface Listening<Events extends EventMap> {
  /**
   * Listens to valid events of one type, or of each type in a list.
   *
   * @throws TypeError if the provider has no such type.
   */
  on<Type extends EventType<Events>>(
    type: Type | readonly Type[],
    listener: Listener<WebhookEvent<Events, Type>>,
  ): Off;
  /** Listens to valid events of all types, and to events of types that this release does not know. */
  onAny(listener: Listener<ReceivedEvent<Events>>): Off;
  /** Listens to events of types that this release does not know, and to invalid events. */
  onUnrecognized(listener: Listener<UnrecognizedEvent>): Off;
  /**
   * Listens to errors of every kind: an error that a listener throws, a timeout, and the `TypeError` for
   * an invalid event without an `onUnrecognized` listener. After a timeout it also gets late errors, but
   * not the errors of listeners that stopped because of the abort. Its own errors are ignored.
   */
  onError(listener: (error: unknown, event: ReceivedEvent<Events>) => unknown): Off;
}

export interface Listeners<Events extends EventMap> extends Listening<Events> {
  /** Returns the types with an `on` listener, in the provider's order. If there is an `onAny` listener, returns all types. */
  listenedTypes(): readonly EventType<Events>[];
  readonly run: RunListeners<Events>;
}

/**
 * Makes the lists of listeners.
 *
 * @param timeout How long an event's listeners may run, in seconds. Default: no limit.
 * @param operator Is told of events that the app does not handle.
 */
export function createListeners<Events extends EventMap>(
  provider: { readonly name: string; readonly eventTypes: readonly string[] },
  timeout: number | undefined,
  operator: Operator,
): Listeners<Events> {
  const byType = new Map<string, ListenerList>(provider.eventTypes.map((type) => [type, new ListenerList()]));
  const any = new ListenerList();
  const unrecognized = new ListenerList();
  const errors = new ListenerList();

  function listOf(type: string): ListenerList {
    const list = byType.get(type);
    if (list !== undefined) return list;
    throw new TypeError(
      `${provider.name} has no event type ${JSON.stringify(type)}. Use one of ${provider.eventTypes.join(", ")}. For types that this release does not know, register onUnrecognized.`,
    );
  }

  return {
    on(type, listener) {
      const types: readonly string[] = Array.isArray(type) ? type : [type];
      const lists = new Set(types.map(listOf));
      const offs = [...lists].map((list) => list.add(listener));
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
    run: createListenerRunner(
      {
        of: (type) => byType.get(type)?.current ?? [],
        any: () => any.current,
        unrecognized: () => unrecognized.current,
        errors: () => errors.current,
      },
      timeout,
      operator,
    ),
  };
}

/** A change replaces the array, so that a loop over the old array is not affected. */
class ListenerList {
  current: readonly AnyListener[] = [];

  add(listener: AnyListener): Off {
    if (typeof listener !== "function") {
      const given = listener === null ? "null" : typeof listener;
      throw new TypeError(`A listener must be a function, not ${given}.`);
    }
    // The wrapper makes each registration of one function a distinct entry, with its own `off`.
    const entry: AnyListener = (event, context) => listener(event, context);
    this.current = [...this.current, entry];
    return () => {
      this.current = this.current.filter((other) => other !== entry);
    };
  }
}
