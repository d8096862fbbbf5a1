import { type Delivery, type DeliveryHeaders, type IncomingDelivery, toHeaders } from "../delivery.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { Off } from "../listeners/registry.js";
import type { RunListeners } from "../listeners/run.js";
import type { Outcome } from "../outcome.js";
import { isRefusal, type Reply, replyTo } from "../reply.js";
import { type SecretSource, secretsFrom } from "../signature/secrets.js";
import { andThen } from "../values/maybe-promise.js";
import type { DeliveryRecord, Trace } from "./trace.js";

/** A whole delivery with its payload, for the inspector. A `DeliveryRecord` has no payload. */
export interface WatchedDelivery {
  /** Unix time in milliseconds, by the receiver's clock. */
  readonly receivedAt: number;
  readonly method: string;
  readonly headers: DeliveryHeaders;
  /** `undefined` if the body was not read. */
  readonly body: Uint8Array | undefined;
  readonly record: DeliveryRecord;
  /** Empty if the delivery was refused. */
  readonly events: readonly WatchedEvent[];
  readonly reply: Reply;
}

export interface WatchedEvent {
  readonly event: ReceivedEvent;
  readonly outcome: Outcome;
  /** The errors of its listeners. */
  readonly errors: readonly unknown[];
}

export type Watcher = (delivery: WatchedDelivery) => void;

/** What a receiver gives to the inspector. */
export interface Watched {
  /** Calls `watcher` with each delivery just before its reply. Returns a function that ends this. */
  watch(watcher: Watcher): Off;
  /** Returns the secrets for a delivery; an empty list if the receiver is `unsigned`. */
  secretsFor(delivery: Delivery): Promise<readonly string[]>;
  /** Whether deliveries are not verified. */
  readonly unsigned: boolean;
  /** In seconds. */
  readonly tolerance: number;
}

/** A request, as far as it is observed. A recovered event has no method. */
export type WatchedRequest = Pick<IncomingDelivery, "headers"> & { readonly method?: string };

interface WatchableOptions {
  readonly secret?: SecretSource | undefined;
  readonly unsigned?: boolean | undefined;
  readonly tolerance?: number | undefined;
  readonly clock?: (() => number) | undefined;
}

export type Watching = ReturnType<typeof createWatching>;

/** Lets the inspector see whole deliveries. Costs nothing while nobody watches. */
export function createWatching({
  secret,
  unsigned = false,
  tolerance = 300,
  clock = Date.now,
}: WatchableOptions) {
  const watchers = new Set<Watcher>();
  const errorsOf = new WeakMap<ReceivedEvent, readonly unknown[]>();

  function watchedEvents({ result }: Trace): readonly WatchedEvent[] {
    if (isRefusal(result)) return [];
    return result.map(({ event, outcome }) => ({
      event,
      outcome: outcome as Outcome,
      errors: errorsOf.get(event) ?? [],
    }));
  }

  return {
    watched: {
      watch(watcher) {
        watchers.add(watcher);
        return () => {
          watchers.delete(watcher);
        };
      },
      secretsFor: async (delivery) => (unsigned ? [] : secretsFrom(secret, delivery)),
      unsigned,
      tolerance,
    } satisfies Watched,

    isWatched: () => watchers.size > 0,

    /** Returns `run`, which also keeps the errors of each event while someone watches. */
    keepingErrors<Events extends EventMap>(run: RunListeners<Events>): RunListeners<Events> {
      return (event, contextFor) =>
        watchers.size === 0
          ? run(event, contextFor)
          : andThen(run(event, contextFor), (errors) => {
              if (errors.length > 0) errorsOf.set(event as ReceivedEvent, errors);
              return errors;
            });
    },

    /** Tells the watchers of a delivery that has its result. */
    tell({ method = "", headers }: WatchedRequest, trace: Trace, record: DeliveryRecord): void {
      if (watchers.size === 0) return;
      const delivery: WatchedDelivery = {
        receivedAt: clock() - record.durations.total,
        method,
        headers: toHeaders(headers),
        body: trace.body,
        record,
        events: watchedEvents(trace),
        reply: replyTo(trace.result),
      };
      for (const watcher of watchers) watcher(delivery);
    },
  };
}

/** A symbol that is the same in every copy of this package: ESM and CommonJS each have one. */
const WATCHED = Symbol.for("crowdhook.watched");

/** Makes a receiver known to `watchedOf`. */
export function keepWatched<Receiver extends object>(receiver: Receiver, watched: Watched): Receiver {
  return Object.defineProperty(receiver, WATCHED, { value: watched });
}

/** Returns what a receiver gives to the inspector; `undefined` if `createReceiver` did not make it. */
export function watchedOf(receiver: object): Watched | undefined {
  return (receiver as { readonly [WATCHED]?: Watched })[WATCHED];
}
