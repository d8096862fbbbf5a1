import { gather, toBytes } from "./body.js";
import type { BodyFailure, DeliveryHeaders, IncomingDelivery } from "./delivery.js";
import type { EventMap, EventType } from "./event.js";
import type { Listener, ListenerMap, Listening } from "./listeners/registry.js";
import { RECEIVER_OPTIONS, type ReceiverOptions } from "./options.js";
import type { Provider } from "./provider.js";
import { createReceiver, type Receiver } from "./receiver.js";
import { type Reply, replyTo } from "./reply.js";
import type { SecretSource } from "./signature/secrets.js";
import type { MaybePromise } from "./values/maybe-promise.js";

/** What an adapter takes first: what deliveries are signed with, or a receiver that knows. */
export type WebhookSource<Events extends EventMap> = SecretSource | Receiver<Events> | undefined;

/** Options of an adapter: its own, and the receiver's unless a ready receiver is given. */
export interface WebhookOptions<Events extends EventMap> extends Omit<ReceiverOptions, "secret"> {
  /** Where the webhook answers, relative to where it is mounted. */
  readonly path?: string | undefined;
  /** Listeners to register at once. */
  readonly on?: ListenerMap<Events> | undefined;
}

/** What every adapter gives back, beside being mountable. */
export interface Webhook<Events extends EventMap> extends Listening<Events> {
  readonly receiver: Receiver<Events>;
}

export interface Mount<Events extends EventMap> {
  readonly mounted: Webhook<Events>;
  /** Without a trailing slash. */
  readonly path: string;
  /** Whether a request's URL, as in its first line, is the webhook's. A trailing slash is ignored. */
  answers(url: string): boolean;
}

/**
 * Makes an adapter's arguments into a receiver and a path.
 *
 * @throws TypeError for arguments that cannot work; the message names the mistake and the fix.
 */
export function mount<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options: WebhookOptions<Events> = {},
): Mount<Events> {
  const { path = provider.defaultPath, on = {}, ...receiverOptions } = options;
  if (typeof source === "function" && "receiver" in source) {
    throw new TypeError("This is a webhook already. Pass its receiver: webhook.receiver.");
  }
  if (typeof path !== "string" || !/^\/[^?#]*$/.test(path)) {
    throw new TypeError(`path must begin with "/" and have no query, not ${JSON.stringify(path)}.`);
  }
  const receiver = isReceiver(source)
    ? ready(provider, source, options)
    : createReceiver(provider, { ...receiverOptions, secret: source });
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

function isReceiver<Events extends EventMap>(source: WebhookSource<Events>): source is Receiver<Events> {
  return typeof source === "object" && source !== null && "handle" in source;
}

function ready<Events extends EventMap>(
  provider: Provider<Events>,
  receiver: Receiver<Events>,
  options: WebhookOptions<Events>,
): Receiver<Events> {
  if (receiver.provider.name !== provider.name) {
    throw new TypeError(`This mounts ${provider.name}, but the receiver is for ${receiver.provider.name}.`);
  }
  const misplaced = RECEIVER_OPTIONS.filter((name) => (options as ReceiverOptions)[name] !== undefined);
  if (misplaced.length > 0) {
    throw new TypeError(`With a ready receiver, ${misplaced.join(" and ")} must be given to createReceiver.`);
  }
  return receiver;
}

function pathOf(url: string): string {
  // Proxies may send the absolute form. Source: RFC 9112, section 3.2.2.
  const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
  return path.replace(/[?#].*$/s, "");
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

export { gather };

/** The answer where nothing is mounted, for hosts that have nothing to pass the request on to. */
export function notFound(): Reply {
  return replyTo({ code: "NOT_FOUND" });
}

/** What is used of Node's `IncomingMessage`. */
export interface NodeRequest extends NodeStream {
  readonly method?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>> & {
    readonly "content-length"?: string | undefined;
  };
}

/** What is used of Node's `Readable`. */
export interface NodeStream {
  readonly destroyed: boolean;
  readonly readableDidRead: boolean;
  readonly readableEnded: boolean;
  readonly readableEncoding: string | null;
  listenerCount(event: string): number;
  on(event: "data", listener: (chunk: Uint8Array | string) => void): unknown;
  on(event: string, listener: () => void): unknown;
  resume(): unknown;
}

/** What is used of Node's `ServerResponse`. */
export interface NodeResponse {
  readonly destroyed: boolean;
  readonly headersSent: boolean;
  readonly writableFinished: boolean;
  on(event: "close", listener: () => void): unknown;
  writeHead(status: number, headers: Reply["headers"]): unknown;
  end(body: string): unknown;
  destroy(): unknown;
}

/** What something before has made of the body; it may still be adding to it, so this is read again. */
export interface ParsedBody {
  /** To be read in place of the request itself. */
  readonly stream?: NodeStream;
  readonly rawBody?: unknown;
  readonly body?: unknown;
}

/**
 * A Node request as a delivery, its body not read yet.
 *
 * @param hint What to tell the operator where the bytes are gone: what to mount where.
 * @param parsed What body parsers leave behind. Default: what they leave on the request.
 */
export function nodeDelivery(
  request: NodeRequest,
  response: NodeResponse,
  hint: string,
  parsed: ParsedBody = request as ParsedBody,
): IncomingDelivery {
  const gone = { code: "BODY_UNAVAILABLE", hint } as const;
  const body = (limit: number) => readNodeBody(request, parsed, limit, gone);
  return new NodeDelivery(request, response, body);
}

/**
 * A class, so that its getter is one function for all: V8 gives each object literal with a getter a
 * hidden class of its own, and that keeps the request in memory until all garbage is collected.
 */
class NodeDelivery implements IncomingDelivery {
  readonly method: string;
  readonly headers: DeliveryHeaders;
  readonly #response: NodeResponse;

  constructor(
    request: NodeRequest,
    response: NodeResponse,
    readonly body: Extract<IncomingDelivery["body"], (limit: number) => unknown>,
  ) {
    this.method = request.method ?? "";
    this.headers = {
      get(name) {
        const value = request.headers[name.toLowerCase()];
        return Array.isArray(value) ? value.join(", ") : value;
      },
    };
    this.#response = response;
  }

  get signal(): AbortSignal {
    const response = this.#response;
    const controller = new AbortController();
    const check = () => response.writableFinished || controller.abort();
    if (response.destroyed) check();
    else response.on("close", check);
    return controller.signal;
  }
}

/** Writes a reply, unless something else has answered or the sender is gone. */
export function writeNodeReply(response: NodeResponse, reply: Reply): void {
  if (response.headersSent || response.destroyed) return;
  try {
    // Two statements: apps wrap writeHead, and forget that it returns the response.
    response.writeHead(reply.status, reply.headers);
    response.end(reply.body);
  } catch {
    // A sender that gets no answer delivers again; a crash would take the app with it.
    response.destroy();
  }
}

/**
 * The bytes that something before left behind as `rawBody`, or as a `body` of bytes or text; else
 * those of the stream. `gone` if they are gone: a stream that someone else has read is never
 * waited for, and a parsed body never made into text again.
 */
function readNodeBody(
  request: NodeRequest,
  parsed: ParsedBody,
  limit: number,
  gone: BodyFailure,
): MaybePromise<Uint8Array | BodyFailure> {
  const { stream = request } = parsed;
  const raw = toBytes(parsed.rawBody);
  if (raw && typeof parsed.rawBody === "string" && stream.readableDidRead && !stream.readableEnded) {
    // Text that someone is still adding chunks to: whole when the stream is at its end.
    return new Promise((resolve) => {
      stream.on("end", () => resolve(toBytes(parsed.rawBody) ?? gone));
      stream.on("close", () => resolve({ code: "BODY_ABORTED" }));
    });
  }
  // An empty one may be about to be filled from the stream, which then can still be read.
  if (raw && (raw.length > 0 || stream.readableDidRead)) return raw;
  if (isUnread(stream)) return readStream(stream, limit, request.headers["content-length"]);
  // Looked at only now: some hosts have a getter there that parses, and throws.
  return toBytes(parsed.body) ?? gone;
}

/** Whether all of its bytes are still to come, and will come to us. */
function isUnread(stream: NodeStream): boolean {
  const { readableDidRead, readableEnded, readableEncoding } = stream;
  if (readableDidRead || readableEnded || stream.listenerCount("readable") > 0) return false;
  return readableEncoding === null || /^utf-?8$/i.test(readableEncoding);
}

function readStream(
  stream: NodeStream,
  limit: number,
  contentLength: string | undefined,
): MaybePromise<Uint8Array | BodyFailure> {
  if (stream.destroyed) return { code: "BODY_ABORTED" };
  const { body, push, end, abort } = gather(limit, contentLength);
  stream.on("data", push);
  stream.on("end", end);
  stream.on("close", abort);
  stream.on("error", abort);
  // Someone may have paused it before.
  stream.resume();
  return body;
}
