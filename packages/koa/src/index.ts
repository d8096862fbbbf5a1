import type { EventMap, Provider } from "@crowdhook/core";
import {
  isHandled,
  mount,
  type NodeResponse,
  nodeDelivery,
  type ParsedBody,
  pathOf,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
  writeNodeReply,
} from "@crowdhook/core/adapter";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import type { Middleware, ParameterizedContext } from "koa";

export { type ShutdownOptions, shutdownGracefully, trackReplies } from "@crowdhook/core/adapter";
export * from "@crowdhook/core/app";

/** Koa middleware. Rejects only if a later middleware does. */
export type KoaWebhook<Events extends EventMap> = Middleware & Webhook<Events>;

/** A route of @koa/router, or its `use`, which has no methods. */
interface Layer {
  readonly path?: unknown;
  readonly methods: readonly string[];
  readonly stack: readonly unknown[];
}

/** Fields that @koa/router and koa-mount add to the context. The router's stay set after a route has called `next`. */
interface Routed {
  readonly matched?: readonly Layer[];
  /** The path of the layer that runs. Older routers set only `_matchedRoute`, the path of the route. */
  readonly routerPath?: unknown;
  readonly _matchedRoute?: unknown;
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
  const { mounted, path, answers, isSigned, reportMiss, refuse } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** Some agents wrap the function and copy its properties, so a property still tells it. */
  const mark = Symbol(provider.name);
  const leadsHere = (each: unknown): boolean =>
    typeof each === "function" && (each as { mark?: unknown }).mark === mark;

  /**
   * Whether the current route, such as `router.post(path, webhook)`, runs this webhook. Through functions
   * that hide the webhook, the route may also be an earlier one that called `next`. So a route like this
   * counts only for deliveries, and only if the webhook has no `path` and the route has no wildcard.
   */
  const isRouted = (ctx: Routed & ParameterizedContext): boolean => {
    const { matched = [], routerPath = ctx._matchedRoute } = ctx;
    const known = matched.filter(({ stack }) => stack.some(leadsHere));
    if (known.length > 0) return known.some(({ methods }) => methods.length > 0);
    if (options?.path !== undefined || ctx.app.middleware.some(leadsHere)) return false;
    const current = matched.filter(({ path }) => path === routerPath);
    return (
      current.length > 0 &&
      current.every(({ path, methods }) => methods.length > 0 && hasOwnPath(path)) &&
      ctx.method === "POST" &&
      (options?.unsigned === true || isSigned(ctx.headers))
    );
  };

  /** In `router.post(path, webhook)` and `mount(path, webhook)` the router has matched the path. */
  const matches = (ctx: Routed & ParameterizedContext) =>
    answers(ctx.path) || isRouted(ctx) || (options?.path === undefined && ctx.mountPath && ctx.path === "/");

  const middleware: Middleware = async (ctx, next) => {
    if (ctx.req === undefined) {
      // In http.createServer(webhook) the second argument is the response.
      writeNodeReply(next as unknown as NodeResponse, refuse("INTERNAL_ERROR", NO_CONTEXT));
      return;
    }
    if (!matches(ctx)) {
      const own = withoutEnd(pathOf(ctx.originalUrl), ctx.path) + path;
      await next?.();
      // Another webhook of the app may have handled it.
      if (!isHandled(ctx.req)) reportMiss(ctx.headers, ctx.originalUrl, own);
      return;
    }
    const reply = await handle(nodeDelivery(ctx.req, ctx.res, HINT, new KoaBody(ctx)));
    ctx.status = reply.status;
    ctx.set(reply.headers);
    ctx.body = reply.body;
  };
  return Object.assign(middleware, mounted, { mark });
}

const NO_CONTEXT =
  "the webhook got no Koa context. Mount it with app.use(webhook), or take the webhook of @crowdhook/node for http.createServer.";

/** Whether a route's path says which webhook is meant. Patterns such as `(.*)` lead everywhere. */
function hasOwnPath(path: unknown): boolean {
  return typeof path === "string" && !/\*|\.\+/.test(path);
}

/** Returns the part of a path in front of `end`: the path at which koa-mount has mounted an app. */
function withoutEnd(path: string, end: string): string {
  return path.endsWith(end) ? path.slice(0, path.length - end.length) : "";
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
