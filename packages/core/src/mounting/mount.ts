import { type IncomingDelivery, toHeaders } from "../delivery.js";
import type { ErrorCode } from "../errors.js";
import type { EventMap, EventType } from "../event.js";
import type { Listener, ListenerMap, Listening } from "../listeners/registry.js";
import { logOf, quote } from "../observing/log.js";
import { checkNames, RECEIVER_OPTIONS, type ReceiverOptions } from "../options.js";
import type { Provider } from "../provider.js";
import { createReceiver, type Receiver } from "../receiver.js";
import { type Reply, replyTo } from "../reply.js";
import type { SecretSource } from "../signature/secrets.js";
import { checkPath, pathOf, withoutSlash } from "./paths.js";

/**
 * The first argument of an adapter: the secret that deliveries are signed with, or a ready receiver.
 * `undefined` is refused at construction unless `unsigned` is true, so an environment variable needs no cast.
 */
export type WebhookSource<Events extends EventMap> = SecretSource | Receiver<Events> | undefined;

/** Options of an adapter. With a ready receiver only `path` and `on` are allowed. */
export interface WebhookOptions<Events extends EventMap> extends Omit<ReceiverOptions, "secret"> {
  /** Path of the webhook, relative to where the app mounts it. Default: the provider's `defaultPath`. */
  readonly path?: string | undefined;
  /** Listeners to register at construction. */
  readonly on?: ListenerMap<Events> | undefined;
}

/** The members that every adapter's webhook has, besides the function or plugin that the app mounts. */
export interface Webhook<Events extends EventMap> extends Listening<Events> {
  readonly receiver: Receiver<Events>;
}

/** The names of an adapter's options. The secret is the first argument. */
const OPTIONS = ["path", "on", ...RECEIVER_OPTIONS.filter((name) => name !== "secret")];

/** A receiver and the path at which it answers. */
export interface Mount<Events extends EventMap> {
  readonly mounted: Webhook<Events>;
  /** Without a trailing slash. */
  readonly path: string;
  /** Whether `url`, as in a request's first line, has the webhook's path. Ignores a trailing slash. */
  answers(url: string): boolean;
  /** Whether the headers are those of the provider's deliveries. */
  isSigned(headers: IncomingDelivery["headers"]): boolean;
  /**
   * Tells the operator, once a minute, that a delivery came to another path. Does nothing for requests
   * that are not the provider's.
   *
   * @param own The webhook's whole path. Default: `path`.
   */
  reportMiss(headers: IncomingDelivery["headers"], url: string, own?: string): void;
  /** Prints a line for the operator, once a minute for each name. */
  warn(name: "claims", text: string): void;
  /** Returns a reply to a request that the receiver never gets, and tells the operator why. */
  refuse(code: ErrorCode, reason: string): Reply;
}

/**
 * Makes an adapter's arguments into a receiver and a path.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export function mount<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options: WebhookOptions<Events> = {},
): Mount<Events> {
  if (Object(options).secret !== undefined) {
    throw new TypeError("The secret is the first argument. Remove secret from the options.");
  }
  checkNames("The webhook", options, OPTIONS);
  const { path = provider.defaultPath, on = {} } = options;
  checkPath(path);
  const receiver = receiverOf(provider, source, options);
  for (const [type, listener] of Object.entries(on)) {
    receiver.on(type as EventType<Events>, listener as Listener<unknown>);
  }
  const wanted = withoutSlash(path);
  const log = logOf(receiver);
  const isSigned = (headers: IncomingDelivery["headers"]) => provider.matches(toHeaders(headers));
  return {
    mounted: {
      receiver,
      on: receiver.on,
      onAny: receiver.onAny,
      onUnrecognized: receiver.onUnrecognized,
      onError: receiver.onError,
    },
    path: wanted,
    answers: (url) => url === wanted || withoutSlash(pathOf(url)) === wanted,
    isSigned,
    reportMiss(headers, url, own = wanted) {
      if (!isSigned(headers)) return;
      log(
        "NOT_FOUND",
        `a delivery of ${provider.title} came to ${quote(pathOf(url))}, but this webhook answers at ${quote(own || "/")}. Change the URL of the subscription, or pass this path as path.`,
      );
    },
    warn: log,
    refuse(code, reason) {
      log(code, reason);
      return replyTo({ code });
    },
  };
}

/** The reply to a request for another path, for hosts that cannot pass the request on. */
export function notFound(): Reply {
  return replyTo({ code: "NOT_FOUND" });
}

function receiverOf<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options: WebhookOptions<Events>,
): Receiver<Events> {
  if (typeof source === "function" && "receiver" in source) {
    throw new TypeError("This is a webhook already. Pass its receiver: webhook.receiver.");
  }
  if (isReceiver(source)) {
    checkReady(provider, source, options);
    return source;
  }
  if (typeof source === "object" && source !== null && !Array.isArray(source)) {
    throw new TypeError(
      `The first argument is the secret itself, not an object. Pass ${provider.name}Webhook(secret, options).`,
    );
  }
  const { path: _path, on: _on, ...receiverOptions } = options;
  return createReceiver(provider, { ...receiverOptions, secret: source });
}

function isReceiver<Events extends EventMap>(source: WebhookSource<Events>): source is Receiver<Events> {
  return typeof source === "object" && source !== null && "handle" in source;
}

function checkReady<Events extends EventMap>(
  provider: Provider<Events>,
  receiver: Receiver<Events>,
  options: WebhookOptions<Events>,
): void {
  if (receiver.provider.name !== provider.name) {
    throw new TypeError(`This mounts ${provider.name}, but the receiver is for ${receiver.provider.name}.`);
  }
  const misplaced = RECEIVER_OPTIONS.filter((name) => (options as ReceiverOptions)[name] !== undefined);
  if (misplaced.length > 0) {
    throw new TypeError(`With a ready receiver, ${misplaced.join(" and ")} must be given to createReceiver.`);
  }
}
