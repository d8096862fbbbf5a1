import type { Delivery, DeliveryHeaders } from "../delivery.js";
import type { ReceivedEvent } from "../event.js";
import type { Off } from "../listeners/registry.js";
import type { Outcome } from "../outcome.js";
import type { Reply } from "../reply.js";
import type { DeliveryRecord } from "./trace.js";

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

/** The part of a receiver that only the inspector uses. */
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
