import type { DeliveryHeaders, IncomingDelivery } from "../delivery.js";
import type { Reply } from "../reply.js";
import { type NodeStream, type ParsedBody, readNodeBody } from "./node-body.js";

/** The part of Node's `IncomingMessage` that adapters use. */
export interface NodeRequest extends NodeStream {
  readonly method?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>> & {
    readonly "content-length"?: string | undefined;
  };
}

/** The part of Node's `ServerResponse` that adapters use. */
export interface NodeResponse {
  readonly destroyed?: boolean;
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  /** In HTTP/2, whose responses have no `destroyed`. */
  readonly stream?: { readonly destroyed: boolean } | undefined;
  on(event: "close" | "finish", listener: () => void): unknown;
  writeHead(status: number, headers: Reply["headers"]): unknown;
  end(body: string): unknown;
  destroy(): unknown;
}

const handled = new WeakSet<object>();

/** Whether a webhook has handled a Node request. An app may have several webhooks of one provider. */
export function isHandled(request: object): boolean {
  return handled.has(request);
}

/**
 * Returns a Node request as a delivery for `receiver.handle`. The receiver reads its body later.
 *
 * @param hint Logged for the operator if something else has used up the body: what to mount where.
 * @param parsed Where body parsers leave the bytes. Default: the request itself.
 */
export function nodeDelivery(
  request: NodeRequest,
  response: NodeResponse,
  hint: string,
  parsed: ParsedBody = request as ParsedBody,
): IncomingDelivery {
  handled.add(request);
  const unavailable = { code: "BODY_UNAVAILABLE", hint } as const;
  const body = (limit: number) => readNodeBody(request, parsed, limit, unavailable);
  return new NodeDelivery(request, response, body);
}

/**
 * A class, so that all deliveries share one getter. V8 gives each object literal with a getter a
 * hidden class of its own, which keeps the request in memory until a full garbage collection.
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
      keys: () => Object.keys(request.headers),
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
    // In HTTP/2 the response to a cancelled request finishes, too, but nobody has ended it.
    const check = () => (response.writableEnded && response.writableFinished) || controller.abort();
    if (response.destroyed || response.stream?.destroyed) check();
    else response.on("close", check);
    return controller.signal;
  }
}

/** Writes a reply. Does nothing if something else has answered, or if the sender has hung up. */
export function writeNodeReply(response: NodeResponse, reply: Reply): void {
  if (response.headersSent || response.destroyed || response.stream?.destroyed) return;
  try {
    // Two statements: some apps wrap writeHead and forget to return the response.
    response.writeHead(reply.status, reply.headers);
    response.end(reply.body);
  } catch {
    // A sender without an answer redelivers. An exception here would crash the app.
    response.destroy();
  }
}
