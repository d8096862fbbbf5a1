import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Delivery, Provider, Receiver } from "@crowdhook/core";
import {
  checkNames,
  typeName,
  type Watched,
  type WatchedDelivery,
  watchedOf,
} from "@crowdhook/core/internal";
import type { DurableSink } from "@crowdhook/core/sink";
import type { HeaderLines } from "@crowdhook/core/testing";
import { type Captured, eventDetails, type OutgoingDelivery, type Source } from "./deliveries/captured.js";
import type { Authorize } from "./http/access.js";
import { respond } from "./http/respond.js";
import { createInspector } from "./inspector.js";
import type { Verdict } from "./wire.js";

/** Where `mountInspector` serves the page, and who may see it. */
export interface InspectorOptions {
  /** The path of the page. Default `/crowdhook`. */
  readonly path?: string | undefined;
  /**
   * Decides who may see the page, in place of the token and of the check that a request comes from this
   * machine. Required with NODE_ENV=production.
   */
  readonly authorize?: Authorize | undefined;
  /** Part of the page's URL, at least 16 characters. Default: a random one at each start. */
  readonly token?: string | undefined;
  /** Sinks whose failed events the page shows and replays. */
  readonly sinks?: readonly DurableSink[] | undefined;
  /** How many deliveries are kept at most. The oldest go first. Default 10,000, and 64 MiB of bodies. */
  readonly maxDeliveries?: number | undefined;
}

/** A mounted page. It shows deliveries until `close` is called. */
export interface Inspector {
  /** The URL of the page, with its token; `undefined` until the server listens. Keep it out of logs that others read. */
  readonly url: string | undefined;
  /** Shows no more deliveries, and gives the path back to the app. */
  close(): void;
}

/** A server of `node:http`, `node:https` or, with `allowHTTP1`, `node:http2`. */
export interface InspectedServer {
  readonly listening: boolean;
  address(): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of server has its own list of events
  emit(event: any, ...args: any[]): boolean;
}

/** A receiver, or what an adapter returned. */
// biome-ignore lint/suspicious/noExplicitAny: receivers of different events have no common type
export type Inspected = Receiver<any> | { readonly receiver: Receiver<any> };

const OPTIONS = ["path", "authorize", "token", "sinks", "maxDeliveries"];
const TOKEN_MIN = 16;

/**
 * Shows every delivery that these receivers get, in a page of the app's own server. Works with each
 * framework that runs on this server. Deliveries take the same way as before.
 *
 * @param server The server that the app listens with: `http.createServer(app)`, what `app.listen()` returns,
 *   or Fastify's `app.server`.
 * @throws TypeError for arguments that cannot work, and with NODE_ENV=production unless `authorize` is given.
 */
export function mountInspector(
  server: InspectedServer,
  inspected: Inspected | readonly Inspected[],
  options: InspectorOptions = {},
): Inspector {
  check(server, options);
  const { path = "/crowdhook", authorize, token, sinks, maxDeliveries } = options;
  const requests = new AsyncLocalStorage<IncomingMessage>();
  const sources = [inspected].flat().map((each) => sourceOf(each as Inspected, requests));
  const inspector = createInspector({
    sources,
    sinks,
    token,
    authorize,
    limits: maxDeliveries === undefined ? {} : { deliveries: maxDeliveries },
    origin: () => originOf(server) ?? "http://127.0.0.1",
  });
  const offs = sources.map((source) =>
    source.watched.watch((delivery) => inspector.show(capture(source, delivery, requests.getStore()))),
  );
  const { emit } = server;
  const intercept = (event: unknown, ...args: unknown[]): boolean => {
    if (event !== "request") return emit.call(server, event, ...args);
    const [request, response] = args as [IncomingMessage, ServerResponse];
    const own = ownPath(request.url ?? "/", path);
    if (own === undefined) return requests.run(request, () => emit.call(server, event, ...args));
    if (own === "") redirect(response, `${path}/`);
    else void inspector.handle(request, response, own);
    return true;
  };
  server.emit = intercept;

  return {
    get url() {
      const origin = originOf(server);
      if (origin === undefined) return undefined;
      return authorize ? `${origin}${path}/` : `${origin}${path}/#token=${inspector.token}`;
    },
    close() {
      for (const off of offs) off();
      // Something else may have wrapped it in the meantime.
      if (server.emit === intercept) server.emit = emit;
    },
  };
}

function check(server: InspectedServer, options: InspectorOptions): void {
  if (typeof server?.emit !== "function" || typeof server.address !== "function") {
    throw new TypeError(
      `mountInspector takes a server of node:http first, such as http.createServer(app) or Fastify's app.server, not ${typeName(server)}.`,
    );
  }
  checkNames("mountInspector", options, OPTIONS);
  const { path, authorize, token, maxDeliveries } = options;
  if (authorize !== undefined && typeof authorize !== "function")
    throw new TypeError("authorize must be a function that takes a request and returns true or false.");
  if (process.env.NODE_ENV === "production" && authorize === undefined) {
    throw new TypeError(
      "mountInspector shows payloads, and NODE_ENV is production. Pass { authorize: (request) => boolean }, or do not mount it.",
    );
  }
  if (path !== undefined && !/^(\/[\w.~-]+)+$/.test(path))
    throw new TypeError(
      `path must begin with a slash and not end with one, such as "/crowdhook", not ${JSON.stringify(path)}.`,
    );
  if (
    token !== undefined &&
    !(typeof token === "string" && /^[\w-]+$/.test(token) && token.length >= TOKEN_MIN)
  )
    throw new TypeError(`token must have at least ${TOKEN_MIN} letters, digits, - or _.`);
  if (maxDeliveries !== undefined && !(Number.isSafeInteger(maxDeliveries) && maxDeliveries > 0))
    throw new TypeError("maxDeliveries must be a positive whole number.");
}

interface WatchedSource extends Source {
  readonly watched: Watched;
}

function sourceOf(inspected: Inspected, requests: AsyncLocalStorage<IncomingMessage>): WatchedSource {
  const receiver: Receiver = Object(inspected).receiver ?? inspected;
  const watched = watchedOf(Object(receiver));
  if (watched === undefined) {
    throw new TypeError(
      `mountInspector takes receivers, or what an adapter returned, not ${typeName(inspected)}. Pass app.toloka or receiver.`,
    );
  }
  return {
    provider: receiver.provider as Provider,
    tolerance: watched.tolerance,
    watched,
    secretsFor: (delivery: Delivery) => watched.secretsFor(delivery),
    deliver: ({ method, path, headers, body }: OutgoingDelivery) => {
      const record = recordOf(headers);
      // The receiver does not know the path, and the request of the page has another one.
      const request = { url: path } as IncomingMessage;
      return requests.run(request, () => receiver.handle({ method, headers: record, body }));
    },
  };
}

function capture(
  source: WatchedSource,
  { receivedAt, method, headers, body, record, events, reply }: WatchedDelivery,
  request: IncomingMessage | undefined,
): Captured {
  const { code, reason, status, durations } = record;
  const withStacks = process.env.NODE_ENV !== "production";
  return {
    receivedAt,
    source,
    method,
    path: request?.url,
    headers: linesOf(headers),
    // A copy: hosts may pool and reuse the memory.
    body: body && Uint8Array.from(body),
    verdict: verdictOf(record, source.watched),
    code,
    reason,
    events: eventDetails(source.provider, events, withStacks),
    reply: { status, headers: Object.entries(reply.headers), body: reply.body },
    duration: durations.total,
  };
}

function verdictOf({ code, status, events }: WatchedDelivery["record"], { unsigned }: Watched): Verdict {
  if (code === undefined) return unsigned ? "unverified" : "genuine";
  return events.length > 0 || status >= 500 ? "failed" : "refused";
}

function linesOf(headers: WatchedDelivery["headers"]): HeaderLines {
  return [...(headers.keys?.() ?? [])].map((name) => [name, String(headers.get(name) ?? "")] as const);
}

function recordOf(lines: HeaderLines): Record<string, string[]> {
  const record: Record<string, string[]> = {};
  for (const [name, value] of lines) record[name] = [...(record[name] ?? []), value];
  return record;
}

/** Returns the part of a URL after the inspector's path; `undefined` for a request of the app's. */
function ownPath(url: string, path: string): string | undefined {
  if (!url.startsWith(path)) return undefined;
  const rest = url.slice(path.length);
  if (rest === "" || rest.startsWith("?")) return "";
  return rest.startsWith("/") ? rest : undefined;
}

function redirect(response: ServerResponse, location: string): void {
  respond(response, 308, "text/plain; charset=utf-8", "", { location });
}

function originOf(server: InspectedServer): string | undefined {
  const address = server.address();
  if (typeof address !== "object" || address === null) return undefined;
  const { port } = address as { readonly port: number };
  const scheme = "setSecureContext" in server ? "https" : "http";
  return `${scheme}://127.0.0.1:${port}`;
}
