import type { EventMap, Provider } from "@crowdhook/core";
import {
  mount,
  nodeDelivery,
  type ParsedBody,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
} from "@crowdhook/core/adapter";
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import type { Middleware, ParameterizedContext } from "koa";

/** Koa middleware. It rejects only if what comes after it does. */
export type KoaWebhook<Events extends EventMap> = Middleware & Webhook<Events>;

/** What @koa/router and koa-mount leave on the context, of what is used here. */
interface Routed {
  readonly matched?: readonly { readonly methods: readonly string[]; readonly stack: readonly unknown[] }[];
  readonly mountPath?: string;
}

const HINT =
  "a body parser read the request before the webhook. Mount the webhook before it, or have it keep the bytes in ctx.request.rawBody.";

function webhook<Events extends EventMap>(
  provider: Provider<Events>,
  source: WebhookSource<Events>,
  options?: WebhookOptions<Events>,
): KoaWebhook<Events> {
  const { mounted, answers } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** In `router.post(path, webhook)` and `mount(path, webhook)` it is they that matched the path. */
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

/** A class, so that its getters are the same functions for all requests. */
class KoaBody implements ParsedBody {
  readonly #ctx: ParameterizedContext;

  constructor(ctx: ParameterizedContext) {
    this.#ctx = ctx;
  }

  get rawBody(): unknown {
    const { request, req } = this.#ctx as { request: ParsedBody; req: ParsedBody };
    return request.rawBody ?? req.rawBody;
  }

  get body(): unknown {
    return (this.#ctx.request as ParsedBody).body;
  }
}

/**
 * Receives Toloka's webhooks in Koa. Mounted by `app.use(webhook)` it answers at `path`, mounted by
 * `router.post("/hooks", webhook)` or koa-mount's `mount("/hooks", webhook)` there; everything else
 * passes on with its body unread.
 *
 * @throws TypeError for arguments that cannot work; the message names the mistake and the fix.
 */
export function tolokaWebhook(
  source: WebhookSource<TolokaEvents>,
  options?: WebhookOptions<TolokaEvents>,
): KoaWebhook<TolokaEvents> {
  return webhook(toloka, source, options);
}

/** Receives Prolific's webhooks in Koa, at `/prolific-webhook` unless told otherwise; as `tolokaWebhook`. */
export function prolificWebhook(
  source: WebhookSource<ProlificEvents>,
  options?: WebhookOptions<ProlificEvents>,
): KoaWebhook<ProlificEvents> {
  return webhook(prolific, source, options);
}
