import type { IncomingMessage, ServerResponse } from "node:http";
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
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";

/** A request listener for `http.createServer`. Resolves when the request is answered; never rejects. */
export interface NodeWebhook<Events extends EventMap> extends Webhook<Events> {
  (request: IncomingMessage, response: ServerResponse): Promise<void>;
}

const HINT =
  "something read the request before the webhook. Call the webhook first, or leave the exact bytes in request.rawBody.";

function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): NodeWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const reply = answers(request.url ?? "/")
      ? await handle(nodeDelivery(request, response, HINT))
      : notFound();
    writeNodeReply(response, reply);
  };
  return Object.assign(listener, mounted);
}

/**
 * Receives Toloka's webhooks in a plain `node:http` server. Other paths than `path` get 404.
 *
 * @throws TypeError for arguments that cannot work; the message names the mistake and the fix.
 */
export function tolokaWebhook(
  source: WebhookSource<TolokaEvents>,
  options?: WebhookOptions<TolokaEvents>,
): NodeWebhook<TolokaEvents> {
  return webhook(toloka, source, options);
}

/** Receives Prolific's webhooks in a plain `node:http` server, at `/prolific-webhook` unless told otherwise; as `tolokaWebhook`. */
export function prolificWebhook(
  source: WebhookSource<ProlificEvents>,
  options?: WebhookOptions<ProlificEvents>,
): NodeWebhook<ProlificEvents> {
  return webhook(prolific, source, options);
}
