import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { EventMap, Provider } from "@crowdhook/core";
import {
  mount,
  nodeDelivery,
  notFound,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
  writeNodeReply,
} from "@crowdhook/core/adapter";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";

export { type ShutdownOptions, shutdownGracefully, trackReplies } from "@crowdhook/core/adapter";
export * from "@crowdhook/core/app";

/** A request listener for `http.createServer`. Resolves when the request is answered. Never rejects. */
export interface NodeWebhook<Events extends EventMap> extends Webhook<Events> {
  (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): Promise<void>;
}

const HINT =
  "something read the request before the webhook. Call the webhook first, or leave the exact bytes in request.rawBody.";

/**
 * Receives the webhooks of any provider in a plain `node:http` server. Requests to other paths get 404.
 *
 * @param source A secret, a list of secrets, a function that returns either, or a ready receiver.
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): NodeWebhook<Events> {
  const { mounted, answers, reportMiss } = mount(provider, source, options);
  const { handle } = mounted.receiver;
  const listener: (...args: Parameters<NodeWebhook<Events>>) => Promise<void> = async (request, response) => {
    const { url = "/", headers } = request;
    if (answers(url)) return writeNodeReply(response, await handle(nodeDelivery(request, response, HINT)));
    reportMiss(headers, url);
    writeNodeReply(response, notFound());
  };
  return Object.assign(listener, mounted);
}

function webhookFor<Events extends EventMap>(provider: Provider<Events>) {
  return (source: WebhookSource<Events>, options?: WebhookOptions<Events>) =>
    webhook(provider, source, options);
}

/**
 * Receives Toloka's webhooks in a plain `node:http` server, at `/toloka-webhook` unless `path` is given.
 * Requests to other paths get 404.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhookFor(toloka);

/**
 * Receives Prolific's webhooks in a plain `node:http` server, at `/prolific-webhook` unless `path` is
 * given. Requests to other paths get 404.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const prolificWebhook = /* @__PURE__ */ webhookFor(prolific);
