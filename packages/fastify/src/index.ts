import type { EventMap, Provider, Receiver, SecretSource } from "@crowdhook/core";
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
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import plugin from "fastify-plugin";

declare module "fastify" {
  interface FastifyInstance {
    /** Where listeners for Toloka's events are registered. */
    toloka: Webhook<TolokaEvents>;
    /** Where listeners for Prolific's events are registered. */
    prolific: Webhook<ProlificEvents>;
  }
}

/** Options of the plugin: a secret and the receiver's options, or a ready receiver. */
export interface FastifyWebhookOptions<Events extends EventMap> extends WebhookOptions<Events> {
  readonly secret?: SecretSource | undefined;
  readonly receiver?: Receiver<Events>;
  /** As for any plugin, put in front of `path`. */
  readonly prefix?: string;
}

const HINT =
  "a hook read the request before the webhook. Let preParsing hooks leave this route alone, or keep the exact bytes in request.rawBody.";

function webhook<Events extends EventMap>(
  provider: Provider<Events>,
): FastifyPluginAsync<FastifyWebhookOptions<Events>> {
  const register = async (app: FastifyInstance, options: FastifyWebhookOptions<Events>) => {
    const { secret, receiver, prefix = "", ...mountOptions } = options;
    if (receiver !== undefined && secret !== undefined) {
      throw new TypeError("With a ready receiver, secret must be given to createReceiver.");
    }
    const { mounted, path } = mount(provider, receiver ?? secret, mountOptions);
    app.decorate(provider.name, mounted);

    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      const delivery = nodeDelivery(request.raw, reply.raw, HINT, new FastifyBody(request));
      const { status, headers, body } = await mounted.receiver.handle(delivery);
      // A buffer, because text would go through the app's own serializer.
      return reply.code(status).headers(headers).send(Buffer.from(body));
    };

    // A scope of its own: what it does to parsing ends here, and the app's other routes keep theirs.
    await app.register(
      async (scope) => {
        scope.removeAllContentTypeParsers();
        scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
        scope.all(path || "/", handler);
        // Known already where the app ignores trailing slashes.
        const slashed = { method: "POST", url: `${scope.prefix}${path}/` } as const;
        if (path !== "" && scope.findRoute(slashed) === null) scope.all(`${path}/`, handler);
      },
      { prefix },
    );
  };
  // Not encapsulated, so that the decorator is visible to the app that registers the plugin.
  return plugin(register, { name: `@crowdhook/fastify/${provider.name}`, fastify: "5.x" });
}

/** A class, so that its getter is the same function for all requests. */
class FastifyBody implements ParsedBody {
  readonly #request: FastifyRequest;
  readonly stream: NodeStream;

  constructor(request: FastifyRequest) {
    this.#request = request;
    this.stream = (request.body as NodeStream | undefined) ?? request.raw;
  }

  get rawBody(): unknown {
    return (this.#request as { rawBody?: unknown }).rawBody;
  }
}

/**
 * Receives Toloka's webhooks in Fastify at `path`. The app gets the decorator `toloka`, and a second
 * webhook goes into a scope of its own.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export const tolokaWebhook = /* @__PURE__ */ webhook(toloka);

/** Receives Prolific's webhooks in Fastify, the decorator being `prolific`; as `tolokaWebhook`. */
export const prolificWebhook = /* @__PURE__ */ webhook(prolific);
