import type { Delivery, IncomingDelivery } from "../delivery.js";
import type { TimeLimit } from "./time-limit.js";

/** The second argument of a listener. */
export interface ListenerContext {
  /**
   * The verified request that carried the event. Behind a sink, which keeps events and not deliveries,
   * reading it throws.
   */
  readonly delivery: Delivery;
  /**
   * Aborts when the sender hangs up: nobody will see the reply, and the event is redelivered if it
   * fails. Behind a sink, it aborts when the worker gives the event up. With the option `timeout`, it
   * also aborts when the time is over.
   */
  readonly signal: AbortSignal;
  /**
   * With `detectStale`: whether a later event of the same type and subject was handled before this one.
   * False if the store does not know.
   */
  readonly stale: boolean;
  /** Behind a sink: the number of this attempt, counted from 1. */
  readonly attempt?: number;
  /** Behind a sink that supports it: stores how far the listener is. */
  readonly progress?: (value: number | object) => Promise<void>;
}

/** Makes the context of one event. With a time limit, its signal also aborts when the time is over. */
export type ContextFor = (stale: boolean, limit?: TimeLimit) => ListenerContext;

const SIGNAL_OF = Symbol("signal");

/**
 * An own property, because apps copy contexts. All contexts share the one getter: V8 makes a hidden
 * class for each getter in an object literal, and that would cost more than the rest of the context.
 */
const SIGNAL = {
  enumerable: true,
  configurable: true,
  get(this: { [SIGNAL_OF](): AbortSignal }) {
    return this[SIGNAL_OF]();
  },
};

/** Returns the contexts of a delivery's events. The delivery's signal is read only if a listener reads it. */
export function contextsOf(delivery: Delivery, incoming: IncomingDelivery): ContextFor {
  let hangUp: AbortSignal | undefined;
  const contextFor = (stale: boolean, limit?: TimeLimit): ListenerContext => {
    const signal = () => {
      hangUp ??= incoming.signal ?? new AbortController().signal;
      return limit ? limit.join(hangUp) : hangUp;
    };
    return Object.defineProperty({ delivery, stale, [SIGNAL_OF]: signal }, "signal", SIGNAL) as never;
  };
  const usual = contextFor(false);
  return (stale, limit) => (stale || limit ? contextFor(stale, limit) : usual);
}

/** Returns the context of an event that a sink kept, without its delivery. */
export function sinkContext(
  { signal, ...context }: Omit<ListenerContext, "delivery" | "stale">,
  limit: TimeLimit | undefined,
): ListenerContext {
  const kept = { ...context, signal: limit ? limit.join(signal) : signal, stale: false };
  // Not enumerable, so that copying or printing the context does not throw.
  return Object.defineProperty(kept, "delivery", {
    enumerable: false,
    get() {
      throw new TypeError(
        "context.delivery does not exist behind a sink, which keeps events, not deliveries.",
      );
    },
  }) as ListenerContext;
}
