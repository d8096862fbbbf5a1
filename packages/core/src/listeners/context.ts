import type { Delivery, IncomingDelivery } from "../delivery.js";
import type { ListenerContext } from "./registry.js";
import type { TimeLimit } from "./time-limit.js";

/** Makes the context of one event. With a limit, its signal also aborts when the limit is over. */
export type ContextFor = (stale: boolean, limit?: TimeLimit) => ListenerContext;

const SIGNAL_OF = Symbol("signal");

/**
 * An own property, because apps copy contexts. One shared getter: V8 makes a hidden class for each
 * getter in an object literal, and that costs more than the rest of the context.
 */
const SIGNAL = {
  enumerable: true,
  configurable: true,
  get(this: { [SIGNAL_OF](): AbortSignal }) {
    return this[SIGNAL_OF]();
  },
};

/** The contexts of the events of one delivery. Its signal is read only if a listener asks for it. */
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

/** The context of an event that a sink kept, without its delivery. */
export function sinkContext(
  { signal, ...context }: Omit<ListenerContext, "delivery" | "stale">,
  limit: TimeLimit | undefined,
): ListenerContext {
  const kept = { ...context, signal: limit ? limit.join(signal) : signal, stale: false };
  // Not enumerable, so that a copy or a print of the context does not throw.
  return Object.defineProperty(kept, "delivery", {
    enumerable: false,
    get() {
      throw new TypeError("context.delivery is not there behind a sink, which keeps events, not deliveries.");
    },
  }) as ListenerContext;
}
