import { AsyncLocalStorage } from "node:async_hooks";
import { PassThrough, pipeline, type Readable } from "node:stream";
import type { EventMap, Logger, Provider, Receiver, SecretSource } from "@crowdhook/core";
import {
  mount,
  type NodeStream,
  nodeDelivery,
  type ParsedBody,
  type Webhook,
  type WebhookOptions,
} from "@crowdhook/core/adapter";
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  RegisterOptions,
} from "fastify";
import plugin from "fastify-plugin";

export { type ShutdownOptions, shutdownGracefully, trackReplies } from "@crowdhook/core/adapter";
export * from "@crowdhook/core/app";

declare module "fastify" {
  interface FastifyInstance {
    /** Registers listeners for Toloka's events. Present once `tolokaWebhook` is registered. */
    toloka: Webhook<TolokaEvents>;
    /** Registers listeners for Prolific's events. Present once `prolificWebhook` is registered. */
    prolific: Webhook<ProlificEvents>;
  }
}

/** Options of the plugin: a secret and the receiver's options, or a ready receiver. */
export interface FastifyWebhookOptions<Events extends EventMap> extends WebhookOptions<Events> {
  readonly secret?: SecretSource | undefined;
  readonly receiver?: Receiver<Events>;
  /** Comes before `path`, as for any plugin. */
  readonly prefix?: string;
}

const HINT =
  "a hook read the request before the webhook. Skip this route in preParsing hooks, or keep the exact bytes in request.rawBody.";

/**
 * Returns a Fastify plugin that receives the webhooks of any provider at `path`:
 * `app.register(webhook(provider), { secret })`. The plugin decorates the app with the provider's name.
 * A second webhook of one provider belongs in a scope of its own, because the name is taken.
 *
 * Registration fails with a `TypeError` for options that cannot work. The message names the mistake and
 * the fix.
 */
export function webhook<Events extends EventMap>(
  provider: Provider<Events>,
): FastifyPluginAsync<FastifyWebhookOptions<Events>> {
  const register = async (app: FastifyInstance, options: FastifyWebhookOptions<Events>) => {
    const { secret, receiver, prefix = "", ...others } = options;
    // Fastify's own options of a plugin.
    const {
      logLevel: _level,
      logSerializers: _serializers,
      ...given
    } = others as RegisterOptions & typeof others;
    if (receiver !== undefined && secret !== undefined) {
      throw new TypeError("With a ready receiver, secret must be given to createReceiver.");
    }
    if (app.hasDecorator(provider.name)) {
      throw new TypeError(
        `app.${provider.name} exists already. Register a second webhook of one provider in a scope of its own: app.register(async (scope) => scope.register(…)).`,
      );
    }
    const requestLog = new AsyncLocalStorage<FastifyBaseLogger>();
    const logger = receiver === undefined && !isSilent(app.log) ? loggerOf(requestLog, app.log) : undefined;
    const mountOptions = logger === undefined ? given : { logger, ...given };
    const { mounted, path, reportMiss } = mount(provider, receiver ?? secret, mountOptions);
    app.decorate(provider.name, mounted);
    app.addHook("onResponse", (request, _reply, done) => {
      if (request.is404) reportMiss(request.headers, request.url, `${app.prefix}${prefix}${path}`);
      done();
    });

    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      const delivery = nodeDelivery(request.raw, reply.raw, HINT, new FastifyBody(request));
      const handle = () => mounted.receiver.handle(delivery);
      const { status, headers, body } = await (logger ? requestLog.run(request.log, handle) : handle());
      // A refused body is left unread, and the connection would wait for a reader of the copy.
      if (request.body instanceof PassThrough) request.body.resume();
      // A buffer, because text would go through the app's own serializer.
      return reply.code(status).headers(headers).send(Buffer.from(body));
    };

    // A scope of its own, so that the app's other routes keep their content type parsers.
    await app.register(
      async (scope) => {
        scope.removeAllContentTypeParsers();
        scope.addContentTypeParser("*", (_request, payload, done) => done(null, unshared(payload)));
        scope.all(path || "/", handler);
        // With ignoreTrailingSlash Fastify has this route already.
        const slashed = { method: "POST", url: `${scope.prefix}${path}/` } as const;
        if (path !== "" && scope.findRoute(slashed) === null) scope.all(`${path}/`, handler);
      },
      { prefix },
    );
  };
  const checked = (app: FastifyInstance, options: FastifyWebhookOptions<Events>) => {
    if (typeof app?.register !== "function") {
      throw new TypeError(
        `This is a plugin and takes no secret itself. Write app.register(${provider.name}Webhook, { secret }).`,
      );
    }
    return register(app, options);
  };
  // Not encapsulated, so that the app that registers the plugin sees the decorator.
  return plugin(checked, { name: `@crowdhook/fastify/${provider.name}`, fastify: "5.x" });
}

/** Without the option `logger` of Fastify, its log is one function that does nothing, under each name. */
function isSilent(log: FastifyBaseLogger): boolean {
  return log.error === log.info;
}

/** Returns a logger that writes to the log of the request being handled or, between requests, to the app's. */
function loggerOf(requestLog: AsyncLocalStorage<FastifyBaseLogger>, appLog: FastifyBaseLogger): Logger {
  const log = () => requestLog.getStore() ?? appLog;
  return {
    debug: (message) => log().debug(message),
    info: (message) => log().info(message),
    warn: (message) => log().warn(message),
    error: (message) => log().error(message),
  };
}

/**
 * Returns the payload, or a copy of it if other code listens to it, such as `fastify-raw-body`. The hooks
 * between the parser and the handler take time, and the chunks would pass by.
 */
function unshared(payload: Readable): Readable {
  if (payload.listenerCount("data") === 0) return payload;
  return pipeline(payload, new PassThrough(), () => {});
}

/** A class, so that all requests share its getters. */
class FastifyBody implements ParsedBody {
  readonly #request: FastifyRequest;
  readonly stream: NodeStream;

  constructor(request: FastifyRequest) {
    this.#request = request;
    this.stream = (request.body as NodeStream | undefined) ?? request.raw;
  }

  get rawBody(): unknown {
    const { raw, rawBody } = this.#request as { raw: ParsedBody; rawBody?: unknown };
    return rawBody ?? raw.rawBody;
  }

  /** Some serverless hosts keep bytes or text here. */
  get body(): unknown {
    return (this.#request.raw as ParsedBody).body;
  }
}

/**
 * Receives Toloka's webhooks in Fastify: `app.register(tolokaWebhook, { secret })`. Answers at `path`, by
 * default `/toloka-webhook`, and decorates the app with `toloka`. A second webhook belongs in a scope of
 * its own.
 *
 * Registration fails with a `TypeError` for options that cannot work. The message names the mistake and
 * the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhook(toloka);

/**
 * Receives Prolific's webhooks in Fastify: `app.register(prolificWebhook, { secret })`. Answers at
 * `path`, by default `/prolific-webhook`, and decorates the app with `prolific`. A second webhook belongs
 * in a scope of its own.
 *
 * Registration fails with a `TypeError` for options that cannot work. The message names the mistake and
 * the fix.
 */
export const prolificWebhook = /* @__PURE__ */ webhook(prolific);
