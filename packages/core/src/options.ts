import type { ClaimStore } from "./claiming/claim-store.js";
import type { ReceivedEvent } from "./event.js";
import type { ListenerContext } from "./listeners/context.js";
import type { Log, Logger } from "./observing/log.js";
import type { Instrumentation } from "./observing/observe.js";
import type { DeliveryRecord } from "./observing/trace.js";
import type { Provider } from "./provider.js";
import type { SecretSource } from "./signature/secrets.js";
import { describeValue, typeName } from "./text/describe.js";
import { suggestion } from "./text/nearest.js";
import type { MaybePromise } from "./values/maybe-promise.js";

/** Accepts the events of a delivery in place of the listeners, for example to queue them for a worker. */
export interface Sink {
  /**
   * Stores all the events. If it throws or rejects, it must have stored none. The receiver passes only
   * events whose claim it has won.
   */
  accept(events: readonly ReceivedEvent[], context: ListenerContext): MaybePromise<void>;
  /** For `recoverable` without `claims`: returns the latest time recorded for `key`. */
  latestOccurrence?(key: string): MaybePromise<number | undefined>;
  /** For `recoverable` without `claims`: remembers the later of `time` and the recorded time of `key`, for good. */
  recordOccurrence?(key: string, time: number): MaybePromise<void>;
}

/** Options of a receiver. All of them are optional but `secret`, or `unsigned` in its place. */
export interface ReceiverOptions {
  /** The secret with which the provider signs deliveries. Required unless `unsigned` is true. */
  readonly secret?: SecretSource | undefined;
  /** Accepts unsigned deliveries, which anyone who knows the URL can send. Excludes `secret`. */
  readonly unsigned?: boolean | undefined;
  /** The largest accepted difference between the time of signing and `clock`, in seconds. Default 300. */
  readonly tolerance?: number | undefined;
  /** The largest accepted body, in bytes. Default 5 MiB. */
  readonly maxBodySize?: number | undefined;
  /**
   * The largest accepted number of events in one delivery. A delivery with more gets 400
   * `ENVELOPE_INVALID`, and the receiver looks at none of them. Default 10,000.
   */
  readonly maxEvents?: number | undefined;
  /**
   * The largest number of concurrent deliveries. Each counts from the call of `handle` to its reply.
   * Further deliveries get 503 at once, with their body unread, and the provider retries. Default: no limit.
   */
  readonly maxInFlight?: number | undefined;
  /** Stores the claims. Default: the receiver's own memory, which a restart clears and no other receiver sees. */
  readonly claims?: ClaimStore | undefined;
  /** Accepts the events in place of the listeners. Default: the listeners handle them before the reply. */
  readonly sink?: Sink | undefined;
  /**
   * How many events of one delivery are handled at once. Default 1: in the order of the delivery. Above
   * 1, the receiver keeps the order only among events of one ordering key, across all its deliveries.
   */
  readonly concurrency?: number | undefined;
  /**
   * Returns an event's ordering key. The receiver handles events of one key one after another, across
   * its deliveries. An event without a key waits for no event of another delivery. With a `concurrency`
   * of 1, the events of each delivery also keep their order. Default, with a `concurrency` above 1: the
   * event's subject (Toloka: its assignment, else its task, else its pool; Prolific: its resource).
   */
  readonly orderingKey?: ((event: ReceivedEvent) => string | undefined) | undefined;
  /**
   * How long the listeners of one event may run, in seconds. After that `context.signal` aborts and the
   * event fails, so the provider redelivers it. A listener that ignores the signal runs on; `onError`
   * then gets its late error, or an error that says that it finished late. Default: no limit.
   */
  readonly timeout?: number | undefined;
  /**
   * Sets `context.stale` if a later event of the same type and subject was handled before. A `claims`
   * store needs the methods `latestOccurrence` and `recordOccurrence` for it. An event whose type or
   * subject has more than 255 characters is never stale, and makes no other event stale. Default false.
   */
  readonly detectStale?: boolean | undefined;
  /**
   * Lets the receiver take events that were recovered from the platform's API. It then claims an event by
   * the fact that it reports where the provider knows how, and remembers handled events for seven days. A
   * `claims` store needs the methods `latestOccurrence` and `recordOccurrence` for it. Default false.
   */
  readonly recoverable?: boolean | undefined;
  /**
   * Gets a record of each delivery just before its reply. The receiver does not wait for its promise. If
   * it throws or rejects, the receiver logs the kind of the error, and the reply stays the same.
   */
  readonly observe?: ((record: DeliveryRecord) => unknown) | undefined;
  /** Wraps deliveries and events, for example in spans: `openTelemetry()` of `@crowdhook/otel`. */
  readonly instrumentation?: Instrumentation | undefined;
  /**
   * Gets the lines for the operator, which never contain a secret: pino, winston or `console`. Default:
   * `console.error`.
   */
  readonly logger?: Logger | undefined;
  /** Returns Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

/** The names of all options. */
export const RECEIVER_OPTIONS = Object.keys({
  secret: true,
  unsigned: true,
  tolerance: true,
  maxBodySize: true,
  maxEvents: true,
  maxInFlight: true,
  claims: true,
  sink: true,
  concurrency: true,
  orderingKey: true,
  timeout: true,
  detectStale: true,
  recoverable: true,
  observe: true,
  instrumentation: true,
  logger: true,
  clock: true,
} satisfies Record<keyof Required<ReceiverOptions>, true>) as (keyof ReceiverOptions)[];

/** In seconds. The reply waits for the listeners, so longer work needs a sink. */
const TIMEOUT_MAX = 3_600;

const isNumber = (value: unknown): value is number => typeof value === "number";
const isPositive = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const isBoolean = (value: unknown) => typeof value === "boolean";
const isFunction = (value: unknown) => typeof value === "function";

/** Each option's test, and the words that complete the message "<option> must be …". */
const RULES: Partial<Record<keyof ReceiverOptions, readonly [(value: unknown) => boolean, string]>> = {
  unsigned: [isBoolean, "true or false"],
  detectStale: [isBoolean, "true or false"],
  recoverable: [isBoolean, "true or false"],
  tolerance: [
    (value) => isNumber(value) && value >= 0 && value < Number.POSITIVE_INFINITY,
    "a number of seconds, 0 or more and finite",
  ],
  maxBodySize: [isPositive, "a positive whole number of bytes"],
  maxEvents: [isPositive, "a positive whole number"],
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

/** The fix for each option that has no effect with a sink. */
const FIXES = {
  concurrency: "Pass concurrency to sink.work instead.",
  orderingKey: "Pass orderingKey to pgBossSink instead, or remove it.",
  detectStale: "Remove detectStale, and compare event.occurredAt in the listener.",
};

/** A tolerance of so many seconds, and without a rest of seconds, was probably meant in milliseconds. */
const MILLISECONDS_FROM = 60_000;

/** Logs options that are valid and probably a mistake. */
export function warnOfMistakes({ tolerance }: ReceiverOptions, log: Log): void {
  if (tolerance !== undefined && tolerance >= MILLISECONDS_FROM && tolerance % 1000 === 0) {
    log("tolerance", `${tolerance} seconds are more than half a day. Pass seconds, not milliseconds.`);
  }
}

/** @throws TypeError for an option that does not exist. The message names the nearest one that does. */
export function checkNames(caller: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    // Without the value: it may be a secret.
    throw new TypeError(`${caller} takes options as an object such as { secret }, not ${typeName(options)}.`);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const advice = suggestion(name, known) || ` Use one of ${known.join(", ")}.`;
    throw new TypeError(`${caller} has no option ${name}.${advice}`);
  }
}

/** @throws TypeError for anything but a provider, and for a provider whose replays no receiver could catch. */
export function checkProvider(provider: unknown): void {
  const { name, parseSignature, parseEvents, signsEventIds, eventsPerDelivery } = Object(
    provider,
  ) as Provider;
  if (typeof name !== "string" || !isFunction(parseSignature) || !isFunction(parseEvents)) {
    const given = typeof provider === "string" ? JSON.stringify(provider) : typeName(provider);
    throw new TypeError(
      `createReceiver takes a provider first, an object that you import from "@crowdhook/core/<provider>", not ${given}.`,
    );
  }
  if (signsEventIds === false && eventsPerDelivery === "many") {
    throw new TypeError(
      `Provider ${name} has many events per delivery, so it must sign their ids. Set signsEventIds, or eventsPerDelivery: "one".`,
    );
  }
}

/** @throws TypeError for options that cannot work. The message names the mistake and the fix. */
export function checkOptions(options: ReceiverOptions): void {
  if (options === undefined) {
    throw new TypeError(
      "createReceiver needs options such as { secret: process.env.WEBHOOK_SECRET } as second argument.",
    );
  }
  checkNames("createReceiver", options, RECEIVER_OPTIONS);
  for (const [option, [isValid, expected]] of Object.entries(RULES)) {
    const value: unknown = options[option as keyof ReceiverOptions];
    if (value === undefined || isValid(value)) continue;
    const advice = option === "timeout" ? " Use a sink for longer work." : "";
    throw new TypeError(`${option} must be ${expected}, not ${describeValue(value)}.${advice}`);
  }
  requireMethods("claims", options.claims, ["claim", "settle", "release"]);
  requireMethods("sink", options.sink, ["accept"]);
  requireMethods("instrumentation", options.instrumentation, ["delivery", "event"]);
  requireMethods("logger", options.logger, ["warn", "error"]);
  const now: unknown = options.clock?.();
  if (options.clock && typeof now !== "number") {
    throw new TypeError(`clock must return Unix time in milliseconds, not ${typeName(now)}. Pass Date.now.`);
  }
  const { unsigned, secret, sink, claims, concurrency = 1, orderingKey, detectStale, recoverable } = options;
  if (unsigned && secret !== undefined) {
    throw new TypeError("Both a secret and { unsigned: true } are set. Remove one of the two.");
  }
  const needsOccurrences = (detectStale && "detectStale") || (recoverable && "recoverable");
  if (needsOccurrences && claims && !(claims.latestOccurrence && claims.recordOccurrence)) {
    throw new TypeError(
      `${needsOccurrences} needs a claim store with the methods latestOccurrence and recordOccurrence. Add them to the store, or remove ${needsOccurrences}.`,
    );
  }
  const misplaced =
    (concurrency > 1 && "concurrency") || (orderingKey && "orderingKey") || (detectStale && "detectStale");
  if (sink && misplaced) {
    throw new TypeError(
      `${misplaced} has no effect with a sink, whose worker runs the listeners later. ${FIXES[misplaced]}`,
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
