import type { IncomingMessage, ServerResponse } from "node:http";
import type { EventMap, Provider } from "@crowdhook/core";
import {
  isHandled,
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

/**
 * Express middleware. Resolves when the request is answered or passed on. Never rejects. Without `next`,
 * as in `http.createServer(webhook)`, other paths get 404.
 */
export interface ExpressWebhook<Events extends EventMap> extends Webhook<Events> {
  (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void): Promise<void>;
}

/** A layer of an Express router. */
interface Layer {
  readonly handle: unknown;
  readonly route?: object | undefined;
}

/** Fields that Express adds to a request. */
interface Routed {
  readonly originalUrl?: string;
  readonly baseUrl?: string;
  /** Also set after a route has called `next`. */
  readonly route?: { readonly path?: unknown; readonly stack?: readonly Layer[] };
  readonly next?: unknown;
  /** Express 4 has `_router`, and throws for `router`. */
  readonly app?: { readonly _router?: unknown; readonly router?: unknown };
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
  const { mounted, path, answers, isSigned, reportMiss } = mount(provider, source, options);
  const { handle } = mounted.receiver;

  /** Agents wrap the function and copy its properties, so a property still tells it. */
  const mark = Symbol(provider.name);
  const leadsHere = ({ handle }: Layer): boolean =>
    typeof handle === "function" && (handle as { mark?: unknown }).mark === mark;

  /** Whether `use` mounted this webhook in a router or in one of its routers. */
  const isUsedBy = (router: unknown): boolean =>
    stackOf(router).some((layer) => !layer.route && (leadsHere(layer) || isUsedBy(layer.handle)));

  /**
   * Whether the current route, such as `app.post(path, webhook)`, runs this webhook. The route may run it
   * through other functions, and `request.route` may be that of an earlier route which called `next`.
   */
  const isRouted = ({ route, next, app, headers }: Routed & IncomingMessage, given: unknown): boolean => {
    if (route === undefined) return false;
    if (stackOf(route).some(leadsHere)) return true;
    // A router gives `request.next` to the functions of `use`, and another one to those of routes.
    if (options?.path !== undefined || given === undefined || given === next) return false;
    if (isUsedBy(app?._router ?? app?.router)) return false;
    return hasOwnPath(route.path) || isSigned(headers);
  };

  /** In `app.post(path, webhook)` and `app.use(path, webhook)` Express has matched the path. */
  const matches = (request: IncomingMessage & Routed, next: unknown) =>
    answers(request.url ?? "/") ||
    isRouted(request, next) ||
    (options?.path === undefined && request.baseUrl && /^\/?(\?|$)/.test(request.url ?? ""));

  const middleware = async (
    request: IncomingMessage & Routed,
    response: ServerResponse,
    next?: (error?: unknown) => void,
  ): Promise<void> => {
    if (matches(request, next)) {
      return writeNodeReply(response, await handle(nodeDelivery(request, response, HINT)));
    }
    const { originalUrl = request.url ?? "/", baseUrl = "", headers } = request;
    const report = () => isHandled(request) || reportMiss(headers, originalUrl, baseUrl + path);
    if (next) {
      // Another webhook of the app may handle it.
      if (isSigned(headers)) response.on("finish", report);
      return next();
    }
    report();
    writeNodeReply(response, notFound());
  };
  return Object.assign(middleware, mounted, { mark });
}

/** Express's routers are functions with a `stack`, and so is a route. */
function stackOf(router: unknown): readonly Layer[] {
  return (router as { readonly stack?: readonly Layer[] } | null | undefined)?.stack ?? [];
}

/** Whether a route's path says which webhook is meant. Patterns such as `*` lead everywhere. */
function hasOwnPath(path: unknown): boolean {
  if (Array.isArray(path)) return path.every(hasOwnPath);
  return typeof path === "string" && !/\*|\.\+/.test(path);
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
