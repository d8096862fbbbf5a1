import type { ClaimStore } from "./claiming/claim-store.js";
import type { ReceivedEvent } from "./event.js";
import type { ListenerContext } from "./listeners/registry.js";
import type { DeliveryRecord, Instrumentation } from "./observing/observe.js";
import type { SecretSource } from "./signature/secrets.js";
import type { MaybePromise } from "./values/maybe-promise.js";

/** Takes the events of a delivery in place of the listeners, to have them handled later. */
export interface Sink {
  /** Keeps all the events or, by throwing or rejecting, none. None of them is done or held by another. */
  accept(events: readonly ReceivedEvent[], context: ListenerContext): MaybePromise<void>;
}

export interface ReceiverOptions {
  /** What deliveries are signed with. Required unless `unsigned` is true. */
  readonly secret?: SecretSource | undefined;
  /** Accepts deliveries that nobody signed: whoever knows the URL can send them. Excludes `secret`. */
  readonly unsigned?: boolean | undefined;
  /** How far a delivery's time may be from `clock`, either way, in seconds. Default 300. */
  readonly tolerance?: number | undefined;
  /** The largest body that is accepted, in bytes. Default 5 MiB. */
  readonly maxBodySize?: number | undefined;
  /**
   * How many deliveries are processed at once, from reading the body to the reply. What comes beyond
   * that gets 503 at once, its body unread, and is sent again. Default: no bound.
   */
  readonly maxInFlight?: number | undefined;
  /** Default: this process's memory. */
  readonly claims?: ClaimStore | undefined;
  /** Default: the listeners. */
  readonly sink?: Sink | undefined;
  /**
   * How many events of one delivery are handled at once. By default 1: in the order of the delivery.
   * Above 1, only events of one key are handled in order, and that across all deliveries of the process.
   */
  readonly concurrency?: number | undefined;
  /**
   * The key of an event: events of one key are handled one after another; one without a key is not
   * kept in order. Default, with a `concurrency` above 1: what the event is about (Toloka: its
   * assignment, else its task, else its pool; Prolific: its resource).
   */
  readonly orderingKey?: ((event: ReceivedEvent) => string | undefined) | undefined;
  /**
   * How long the listeners of one event may take, in seconds. Then `context.signal` aborts and the
   * event has failed, so that it can be delivered again; what a listener does after that is told to
   * `onError`. Default: no limit.
   */
  readonly timeout?: number | undefined;
  /**
   * Whether listeners are to be told, by `context.stale`, that a later event of the same type and
   * subject was handled before. Takes a store that has `latestOccurrence` and `recordOccurrence`. Default false.
   */
  readonly detectStale?: boolean | undefined;
  /** Is given a record of every delivery just before it is answered. What it throws changes nothing. */
  readonly observe?: ((record: DeliveryRecord) => unknown) | undefined;
  /** Runs around deliveries and events: `openTelemetry()` of `@crowdhook/otel`. */
  readonly instrumentation?: Instrumentation | undefined;
  /** Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

/** The names of all options. */
export const RECEIVER_OPTIONS = Object.keys({
  secret: true,
  unsigned: true,
  tolerance: true,
  maxBodySize: true,
  maxInFlight: true,
  claims: true,
  sink: true,
  concurrency: true,
  orderingKey: true,
  timeout: true,
  detectStale: true,
  observe: true,
  instrumentation: true,
  clock: true,
} satisfies Record<keyof Required<ReceiverOptions>, true>) as (keyof ReceiverOptions)[];

/** Longer work would hold up the delivery's answer; it belongs behind a sink. In seconds. */
const TIMEOUT_MAX = 3_600;

/** @throws TypeError for options that cannot work; the message names the mistake and the fix. */
export function checkOptions(options: ReceiverOptions): void {
  const { tolerance, maxBodySize, timeout } = options;
  for (const option of ["unsigned", "detectStale"] as const) {
    const value = options[option];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`${option} must be true or false, not ${shown(value)}.`);
    }
  }
  if (options.unsigned && options.secret !== undefined) {
    throw new TypeError("With { unsigned: true } the secret proves nothing. Pass one of the two.");
  }
  if (
    tolerance !== undefined &&
    !(typeof tolerance === "number" && tolerance >= 0 && tolerance < Number.POSITIVE_INFINITY)
  ) {
    throw new TypeError(
      `tolerance must be a number of seconds, 0 or more and finite, not ${shown(tolerance)}.`,
    );
  }
  if (maxBodySize !== undefined && !isPositive(maxBodySize)) {
    throw new TypeError(`maxBodySize must be a positive whole number of bytes, not ${shown(maxBodySize)}.`);
  }
  for (const option of ["maxInFlight", "concurrency"] as const) {
    const value = options[option];
    if (value !== undefined && !isPositive(value)) {
      throw new TypeError(`${option} must be a positive whole number, not ${shown(value)}.`);
    }
  }
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0 && timeout <= TIMEOUT_MAX)) {
    throw new TypeError(
      `timeout must be a number of seconds, above 0 and at most ${TIMEOUT_MAX}, not ${shown(timeout)}. Work that takes longer belongs behind a sink.`,
    );
  }
  for (const [option, purpose] of [
    ["clock", "returns Unix time in milliseconds"],
    ["orderingKey", "returns an event's key"],
    ["observe", "takes the record of a delivery"],
  ] as const) {
    const value = options[option];
    if (value !== undefined && typeof value !== "function") {
      throw new TypeError(`${option} must be a function that ${purpose}.`);
    }
  }
  requireMethods("claims", options.claims, ["claim", "settle", "release"]);
  requireMethods("sink", options.sink, ["accept"]);
  requireMethods("instrumentation", options.instrumentation, ["delivery", "event"]);
  if (
    options.detectStale &&
    options.claims &&
    !(options.claims.latestOccurrence && options.claims.recordOccurrence)
  ) {
    throw new TypeError(
      "detectStale takes a claim store that has the methods latestOccurrence and recordOccurrence.",
    );
  }
  const { concurrency = 1, orderingKey, detectStale } = options;
  const misplaced =
    (concurrency > 1 && "concurrency") || (orderingKey && "orderingKey") || (detectStale && "detectStale");
  if (options.sink && misplaced) {
    throw new TypeError(
      `${misplaced} is for listeners that run while a delivery waits. With a sink they run where its events are worked off.`,
    );
  }
}

function isPositive(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function requireMethods(option: string, value: object | undefined, methods: readonly string[]): void {
  for (const method of value === undefined ? [] : methods) {
    if (typeof (value as Record<string, unknown> | null)?.[method] !== "function") {
      throw new TypeError(`${option} must have the method ${method}.`);
    }
  }
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
