import type { EventMap, EventType } from "../event.js";
import type { Listener, ListenerMap, Listening } from "../listeners/registry.js";
import { RECEIVER_OPTIONS, type ReceiverOptions } from "../options.js";
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

/** A receiver and the path at which it answers. */
export interface Mount<Events extends EventMap> {
  readonly mounted: Webhook<Events>;
  /** Without a trailing slash. */
  readonly path: string;
  /** Whether `url`, as in a request's first line, has the webhook's path. Ignores a trailing slash. */
  answers(url: string): boolean;
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
  const { path = provider.defaultPath, on = {} } = options;
  checkPath(path);
  const receiver = receiverOf(provider, source, options);
  for (const [type, listener] of Object.entries(on)) {
    receiver.on(type as EventType<Events>, listener as Listener<unknown>);
  }
  const wanted = withoutSlash(path);
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
