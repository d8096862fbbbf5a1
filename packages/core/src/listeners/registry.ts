import type { EventMap, EventType, ReceivedEvent, UnrecognizedEvent, WebhookEvent } from "../event.js";
import type { ListenerContext } from "./context.js";
import { createListenerRunner, type RunListeners } from "./run.js";
import type { AnyListener } from "./time-limit.js";

/** The user's function for an event. Its promise is awaited; if it throws or rejects, the event fails. */
export type Listener<Event> = (event: Event, context: ListenerContext) => unknown;

/** Listeners by event type. */
export type ListenerMap<Events extends EventMap> = {
  readonly [Type in EventType<Events>]?: Listener<WebhookEvent<Events, Type>>;
};

/** Removes the listener. A second call does nothing. */
export type Off = () => void;

/**
 * Registers listeners. All listeners of an event start in the order of registration, run concurrently
 * and are awaited. The event fails if one of them fails, and all of them run again when it is
 * redelivered. A listener that is added or removed while an event is handled counts from the next event.
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
  /** Listens to every event whose type is known and whose data fits it, and to events of a new type. */
  onAny(listener: Listener<ReceivedEvent<Events>>): Off;
  /** Listens to events of a new type, and to events whose data does not fit their type. */
  onUnrecognized(listener: Listener<UnrecognizedEvent>): Off;
  /** Gets every error that a listener throws, whatever its type. Its own errors are ignored. */
  onError(listener: (error: unknown, event: ReceivedEvent<Events>) => unknown): Off;
}

export interface Listeners<Events extends EventMap> extends Listening<Events> {
  /** Returns the types that `on` listens to, in the provider's order; with an `onAny` listener, all types. */
  listenedTypes(): readonly EventType<Events>[];
  readonly run: RunListeners<Events>;
}

/**
 * @param timeout How long an event's listeners may run, in seconds. Default: no limit.
 * @param onUnreported Gets a failed event if no `onError` listener is registered.
 */
export function createListeners<Events extends EventMap>(
  provider: { readonly name: string; readonly eventTypes: readonly string[] },
  timeout: number | undefined,
  onUnreported: (event: ReceivedEvent<Events>) => void,
): Listeners<Events> {
  const byType = new Map<string, ListenerList>(provider.eventTypes.map((type) => [type, new ListenerList()]));
  const any = new ListenerList();
  const unrecognized = new ListenerList();
  const errors = new ListenerList();

  function listOf(type: string): ListenerList {
    const list = byType.get(type);
    if (list !== undefined) return list;
    throw new TypeError(
      `${provider.name} has no event type ${JSON.stringify(type)}. It has ${provider.eventTypes.join(", ")}. Events of types newer than this release arrive at onUnrecognized.`,
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
      onUnreported,
    ),
  };
}

/** Replaces its array when it changes, so that an array being walked stays as it was. */
class ListenerList {
  current: readonly AnyListener[] = [];

  add(listener: AnyListener): Off {
    if (typeof listener !== "function") {
      const given = listener === null ? "null" : typeof listener;
      throw new TypeError(`A listener must be a function, not ${given}.`);
    }
    // Wrapped, so that a function registered twice is two entries, each with its own `off`.
    const entry: AnyListener = (event, context) => listener(event, context);
    this.current = [...this.current, entry];
    return () => {
      this.current = this.current.filter((other) => other !== entry);
    };
  }
}
