import type { Delivery, IncomingDelivery } from "../delivery.js";
import type { TimeLimit } from "./time-limit.js";

/** The second argument of a listener. */
export interface ListenerContext {
  /**
   * The verified request that carried the event. In a sink's worker, and for a recovered event, reading it
   * throws, because there is none.
   */
  readonly delivery: Delivery;
  /**
   * Aborts when the sender hangs up: it will not see the reply, and may redeliver the event. In a sink's
   * worker, aborts when another worker may have taken over the event. With the option `timeout`, also
   * aborts when the time is over.
   */
  readonly signal: AbortSignal;
  /**
   * With `detectStale`: whether a later event of the same type and subject was handled before this one.
   * False if the store does not know, and always false in a sink's worker.
   */
  readonly stale: boolean;
  /** In a sink's worker: the number of this attempt, counted from 1. */
  readonly attempt?: number;
  /** In the worker of a sink that supports it: stores the listener's progress. */
  readonly progress?: (value: number | object) => Promise<void>;
}

/** Returns the context of one event. With a time limit, its signal also aborts when the time is over. */
export type ContextFor = (stale: boolean, limit?: TimeLimit) => ListenerContext;

const SIGNAL_OF = Symbol("signal");

/**
 * An own property, so that `{ ...context }` copies the signal. All contexts share this getter: for a
 * getter in an object literal V8 makes a hidden class each time, which costs more than the other properties.
 */
const SIGNAL = {
  enumerable: true,
  configurable: true,
  get(this: { [SIGNAL_OF](): AbortSignal }) {
    return this[SIGNAL_OF]();
  },
};

/** Returns a function that returns the contexts of a delivery's events. They read `incoming.signal` lazily. */
export function contextsOf(delivery: Delivery, incoming: IncomingDelivery): ContextFor {
  let hangUp: AbortSignal | undefined;
  const contextFor = (stale: boolean, limit?: TimeLimit): ListenerContext => {
    const signal = () => {
      hangUp ??= allowManyListeners(incoming.signal ?? new AbortController().signal);
      return limit ? limit.join(hangUp) : hangUp;
    };
    return Object.defineProperty({ delivery, stale, [SIGNAL_OF]: signal }, "signal", SIGNAL) as never;
  };
  const usual = contextFor(false);
  return (stale, limit) => (stale || limit ? contextFor(stale, limit) : usual);
}

/**
 * All events of a delivery share its signal, so the number of listeners is no leak. Without this call,
 * Node prints a warning at the eleventh.
 */
function allowManyListeners(signal: AbortSignal): AbortSignal {
  try {
    globalThis.process?.getBuiltinModule?.("node:events").setMaxListeners(0, signal);
  } catch {
    // Not a signal of Node, such as that of jsdom.
  }
  return signal;
}

/** Returns the context of an event in a sink's worker, or of a recovered event. It has no delivery. */
export function contextWithoutDelivery(
  { signal, ...context }: Omit<ListenerContext, "delivery">,
  limit: TimeLimit | undefined,
): ListenerContext {
  const own = { ...context, signal: limit ? limit.join(signal) : signal };
  // Not enumerable, so that copying or printing the context does not throw.
  return Object.defineProperty(own, "delivery", {
    enumerable: false,
    get() {
      throw new TypeError(
        "context.delivery does not exist in a sink's worker or for a recovered event. Use the event's data instead.",
      );
    },
  }) as ListenerContext;
}
