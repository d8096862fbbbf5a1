import type { ClaimStore } from "./claiming/claim-store.js";
import type { ReceivedEvent } from "./event.js";
import type { ListenerContext } from "./listeners/context.js";
import type { Instrumentation } from "./observing/observe.js";
import type { DeliveryRecord } from "./observing/trace.js";
import type { SecretSource } from "./signature/secrets.js";
import { describeValue } from "./values/describe.js";
import type { MaybePromise } from "./values/maybe-promise.js";

/** Takes the events of a delivery in place of the listeners, to have them handled later. */
export interface Sink {
  /**
   * Stores all the events or, by throwing or rejecting, none of them. The receiver has won the claim of
   * each event before.
   */
  accept(events: readonly ReceivedEvent[], context: ListenerContext): MaybePromise<void>;
}

export interface ReceiverOptions {
  /** The secret that deliveries are signed with. Required unless `unsigned` is true. */
  readonly secret?: SecretSource | undefined;
  /** Accepts unsigned deliveries: anyone who knows the URL can send them. Excludes `secret`. */
  readonly unsigned?: boolean | undefined;
  /** How far a delivery's time may be from `clock`, in either direction, in seconds. Default 300. */
  readonly tolerance?: number | undefined;
  /** The largest body that is accepted, in bytes. Default 5 MiB. */
  readonly maxBodySize?: number | undefined;
  /**
   * The largest number of concurrent deliveries, counted from reading the body to the reply. Further
   * deliveries get 503 at once, with their body unread, and the provider retries. Default: no limit.
   */
  readonly maxInFlight?: number | undefined;
  /** Keeps the claims. Default: this process's memory. */
  readonly claims?: ClaimStore | undefined;
  /** Takes the events in place of the listeners. Default: the listeners handle them. */
  readonly sink?: Sink | undefined;
  /**
   * How many events of one delivery are handled at once. Default 1: in the order of the delivery. Above
   * 1, only events of one ordering key are handled in order, across all deliveries of the process.
   */
  readonly concurrency?: number | undefined;
  /**
   * Returns an event's ordering key. Events of one key are handled one after another; an event without
   * a key has no order. Default, with a `concurrency` above 1: the event's subject (Toloka: its
   * assignment, else its task, else its pool; Prolific: its resource).
   */
  readonly orderingKey?: ((event: ReceivedEvent) => string | undefined) | undefined;
  /**
   * How long the listeners of one event may run, in seconds. After that `context.signal` aborts, and the
   * event has failed and can be redelivered. `onError` gets whatever a listener does later. Default: no limit.
   */
  readonly timeout?: number | undefined;
  /**
   * Sets `context.stale` if a later event of the same type and subject was handled before. Needs a store
   * with `latestOccurrence` and `recordOccurrence`. Default false.
   */
  readonly detectStale?: boolean | undefined;
  /** Gets a record of every delivery just before its reply. Its errors change nothing. */
  readonly observe?: ((record: DeliveryRecord) => unknown) | undefined;
  /** Wraps deliveries and events, such as `openTelemetry()` of `@crowdhook/otel`. */
  readonly instrumentation?: Instrumentation | undefined;
  /** Returns Unix time in milliseconds. Default `Date.now`. */
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

/** Longer work would hold up the reply, and belongs behind a sink. In seconds. */
const TIMEOUT_MAX = 3_600;

const isNumber = (value: unknown): value is number => typeof value === "number";
const isPositive = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const isBoolean = (value: unknown) => typeof value === "boolean";
const isFunction = (value: unknown) => typeof value === "function";

/** Each option's test, and the sentence that completes "<option> must be". */
const RULES: Partial<Record<keyof ReceiverOptions, readonly [(value: unknown) => boolean, string]>> = {
  unsigned: [isBoolean, "true or false"],
  detectStale: [isBoolean, "true or false"],
  tolerance: [
    (value) => isNumber(value) && value >= 0 && value < Number.POSITIVE_INFINITY,
    "a number of seconds, 0 or more and finite",
  ],
  maxBodySize: [isPositive, "a positive whole number of bytes"],
  maxInFlight: [isPositive, "a positive whole number"],
  concurrency: [isPositive, "a positive whole number"],
  timeout: [
    (value) => isNumber(value) && value > 0 && value <= TIMEOUT_MAX,
    `a number of seconds, above 0 and at most ${TIMEOUT_MAX}`,
  ],
  clock: [isFunction, "a function that returns Unix time in milliseconds"],
  orderingKey: [isFunction, "a function that returns an event's ordering key"],
  observe: [isFunction, "a function that takes the record of a delivery"],
};

/** @throws TypeError for options that cannot work. The message names the mistake and the fix. */
export function checkOptions(options: ReceiverOptions): void {
  for (const [option, [isValid, expected]] of Object.entries(RULES)) {
    const value: unknown = options[option as keyof ReceiverOptions];
    if (value === undefined || isValid(value)) continue;
    const advice = option === "timeout" ? " Work that takes longer belongs behind a sink." : "";
    throw new TypeError(`${option} must be ${expected}, not ${describeValue(value)}.${advice}`);
  }
  requireMethods("claims", options.claims, ["claim", "settle", "release"]);
  requireMethods("sink", options.sink, ["accept"]);
  requireMethods("instrumentation", options.instrumentation, ["delivery", "event"]);
  const { unsigned, secret, sink, claims, concurrency = 1, orderingKey, detectStale } = options;
  if (unsigned && secret !== undefined) {
    throw new TypeError("With { unsigned: true } the secret proves nothing. Pass one of the two.");
  }
  if (detectStale && claims && !(claims.latestOccurrence && claims.recordOccurrence)) {
    throw new TypeError(
      "detectStale takes a claim store that has the methods latestOccurrence and recordOccurrence.",
    );
  }
  const misplaced =
    (concurrency > 1 && "concurrency") || (orderingKey && "orderingKey") || (detectStale && "detectStale");
  if (sink && misplaced) {
    throw new TypeError(
      `${misplaced} is for listeners that run while a delivery waits. With a sink, listeners run in its worker: set the order there.`,
    );
  }
}

function requireMethods(option: string, value: object | undefined, methods: readonly string[]): void {
  for (const method of value === undefined ? [] : methods) {
    if (!isFunction((value as Record<string, unknown> | null)?.[method])) {
      throw new TypeError(`${option} must have the method ${method}.`);
    }
  }
}
