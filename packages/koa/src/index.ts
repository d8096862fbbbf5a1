import type { EventMap, Provider } from "@crowdhook/core";
import {
  mount,
  nodeDelivery,
  type ParsedBody,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
} from "@crowdhook/core/adapter";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import type { Middleware, ParameterizedContext } from "koa";

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

/** Koa middleware. Rejects only if a later middleware does. */
export type KoaWebhook<Events extends EventMap> = Middleware & Webhook<Events>;

/** Fields that @koa/router and koa-mount add to the context. */
interface Routed {
  readonly matched?: readonly { readonly methods: readonly string[]; readonly stack: readonly unknown[] }[];
  readonly mountPath?: string;
}

const HINT =
  "a body parser read the request before the webhook. Mount the webhook before the parser, or let the parser keep the bytes in ctx.request.rawBody.";

/**
 * Receives the webhooks of any provider in Koa. `app.use(webhook)` answers at `path`;
 * `router.post("/hooks", webhook)` and koa-mount's `mount("/hooks", webhook)` answer at `/hooks`. Every
 * other request passes on with its body unread.
 *
 * @param source A secret, a list of secrets, a function that returns either, or a ready receiver.
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): KoaWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** In `router.post(path, webhook)` and `mount(path, webhook)` the router has matched the path. */
  const matches = (ctx: Routed & { readonly path: string }) =>
    answers(ctx.path) ||
    ctx.matched?.some((layer) => layer.methods.length > 0 && layer.stack.includes(middleware)) ||
    (options?.path === undefined && ctx.mountPath && ctx.path === "/");

  const middleware: Middleware = async (ctx, next) => {
    if (!matches(ctx)) {
      await next();
      return;
    }
    const reply = await handle(nodeDelivery(ctx.req, ctx.res, HINT, new KoaBody(ctx)));
    ctx.status = reply.status;
    ctx.set(reply.headers);
    ctx.body = reply.body;
  };
  return Object.assign(middleware, mounted);
}

/** koa-body up to version 6 keeps a parsed body's text in the body, under this key. */
const UNPARSED = Symbol.for("unparsedBody");

/** A class, so that all requests share its getters. */
class KoaBody implements ParsedBody {
  readonly #ctx: ParameterizedContext;

  constructor(ctx: ParameterizedContext) {
    this.#ctx = ctx;
  }

  get rawBody(): unknown {
    const { request, req } = this.#ctx as { request: ParsedBody; req: ParsedBody };
    return request.rawBody ?? req.rawBody ?? unparsed(request.body) ?? unparsed(req.body);
  }

  get body(): unknown {
    const { request, req } = this.#ctx as { request: ParsedBody; req: ParsedBody };
    return request.body ?? req.body;
  }
}

function unparsed(body: unknown): unknown {
  return (body as { [UNPARSED]?: unknown } | null | undefined)?.[UNPARSED];
}

function webhookFor<Events extends EventMap>(provider: Provider<Events>) {
  return (source: WebhookSource<Events>, options?: WebhookOptions<Events>) =>
    webhook(provider, source, options);
}

/**
 * Receives Toloka's webhooks in Koa. `app.use(webhook)` answers at `path`, by default
 * `/toloka-webhook`; `router.post("/hooks", webhook)` and koa-mount's `mount("/hooks", webhook)` answer
 * at `/hooks`. Every other request passes on with its body unread.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhookFor(toloka);

/**
 * Receives Prolific's webhooks in Koa. `app.use(webhook)` answers at `path`, by default
 * `/prolific-webhook`; `router.post("/hooks", webhook)` and koa-mount's `mount("/hooks", webhook)`
 * answer at `/hooks`. Every other request passes on with its body unread.
 *
 * @throws TypeError for arguments that cannot work. The message names the mistake and the fix.
 */
export const prolificWebhook = /* @__PURE__ */ webhookFor(prolific);
