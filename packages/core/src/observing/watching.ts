import { type IncomingDelivery, toHeaders } from "../delivery.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { RunListeners } from "../listeners/run.js";
import type { Outcome } from "../outcome.js";
import { isRefusal, replyTo } from "../reply.js";
import { type SecretSource, secretsFrom } from "../signature/secrets.js";
import { andThen } from "../values/maybe-promise.js";
import type { DeliveryRecord, Trace } from "./trace.js";
import type { Watched, WatchedDelivery, WatchedEvent, Watcher } from "./watched.js";

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
