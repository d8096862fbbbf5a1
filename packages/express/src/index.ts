import type { IncomingMessage, ServerResponse } from "node:http";
import type { EventMap, Provider } from "@crowdhook/core";
import {
  mount,
  nodeDelivery,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
  writeNodeReply,
} from "@crowdhook/core/adapter";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";

export type {
  ClaimStore,
  Delivery,
  DeliveryRecord,
  ErrorCode,
  EventMap,
  EventType,
  Instrumentation,
  Listener,
  ListenerContext,
  ListenerMap,
  Provider,
  ReceivedEvent,
  Receiver,
  ReceiverOptions,
  Reply,
  SecretSource,
  Sink,
  UnrecognizedEvent,
  WebhookEvent,
} from "@crowdhook/core";
export {
  type ShutdownOptions,
  shutdownGracefully,
  trackReplies,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
} from "@crowdhook/core/adapter";
export type { ProlificEvents, ProlificEventType } from "@crowdhook/core/prolific";
export type { TolokaEvents, TolokaEventType } from "@crowdhook/core/toloka";

/** Express middleware. Resolves when the request is answered or passed on. Never rejects. */
export interface ExpressWebhook<Events extends EventMap> extends Webhook<Events> {
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): Promise<void>;
}

/** Fields that Express adds to a request. */
interface Routed {
  readonly baseUrl?: string;
  readonly route?: { readonly stack?: readonly { readonly handle: unknown }[] };
}

const HINT =
  "a body parser read the request before the webhook. Mount the webhook before app.use(express.json()), or keep the bytes: express.json({ verify: (req, res, bytes) => { req.rawBody = bytes; } }).";

/**
 * Receives the webhooks of any provider in Express. `app.use(webhook)` answers at `path`;
 * `app.use("/hooks", webhook)` and `app.post("/hooks", webhook)` answer at `/hooks`. Every other
 * request passes on with its body unread.
 *
 * @param source A secret, a list of secrets, a function that returns either, or a ready receiver.
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): ExpressWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** In `app.post(path, webhook)` and `app.use(path, webhook)` Express has matched the path. */
  const matches = (request: IncomingMessage & Routed) =>
    answers(request.url ?? "/") ||
    request.route?.stack?.some((layer) => layer.handle === middleware) ||
    (options?.path === undefined && request.baseUrl && /^\/?(\?|$)/.test(request.url ?? ""));

  const middleware: (...args: Parameters<ExpressWebhook<Events>>) => Promise<void> = async (
    request,
    response,
    next,
  ) => {
    if (!matches(request)) return next();
    writeNodeReply(response, await handle(nodeDelivery(request, response, HINT)));
  };
  return Object.assign(middleware, mounted);
}

function webhookFor<Events extends EventMap>(provider: Provider<Events>) {
  return (source: WebhookSource<Events>, options?: WebhookOptions<Events>) =>
    webhook(provider, source, options);
}

/**
 * Receives Toloka's webhooks in Express. `app.use(webhook)` answers at `path`, by default
 * `/toloka-webhook`; `app.use("/hooks", webhook)` and `app.post("/hooks", webhook)` answer at `/hooks`.
 * Every other request passes on with its body unread.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhookFor(toloka);

/**
 * Receives Prolific's webhooks in Express. `app.use(webhook)` answers at `path`, by default
 * `/prolific-webhook`; `app.use("/hooks", webhook)` and `app.post("/hooks", webhook)` answer at
 * `/hooks`. Every other request passes on with its body unread.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const prolificWebhook = /* @__PURE__ */ webhookFor(prolific);
