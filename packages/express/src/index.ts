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
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";

/** Express middleware. Resolves when the request is answered or passed on; never rejects. */
export interface ExpressWebhook<Events extends EventMap> extends Webhook<Events> {
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): Promise<void>;
}

/** What Express adds to a request, of what is used here. */
interface Routed {
  readonly baseUrl?: string;
  readonly route?: { readonly stack?: readonly { readonly handle: unknown }[] };
}

const HINT =
  "a body parser read the request before the webhook. Mount the webhook before app.use(express.json()), or keep the bytes: express.json({ verify: (req, res, bytes) => { req.rawBody = bytes; } }).";

function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): ExpressWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** In `app.post(path, webhook)` and `app.use(path, webhook)` it is Express that matched the path. */
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

/**
 * Receives Toloka's webhooks in Express. Mounted by `app.use(webhook)` it answers at `path`, mounted
 * by `app.use("/hooks", webhook)` or `app.post("/hooks", webhook)` there; everything else passes on
 * with its body unread.
 *
 * @throws TypeError for arguments that cannot work; the message names the mistake and the fix.
 */
export function tolokaWebhook(
  source: WebhookSource<TolokaEvents>,
  options?: WebhookOptions<TolokaEvents>,
): ExpressWebhook<TolokaEvents> {
  return webhook(toloka, source, options);
}

/** Receives Prolific's webhooks in Express, at `/prolific-webhook` unless told otherwise; as `tolokaWebhook`. */
export function prolificWebhook(
  source: WebhookSource<ProlificEvents>,
  options?: WebhookOptions<ProlificEvents>,
): ExpressWebhook<ProlificEvents> {
  return webhook(prolific, source, options);
}
