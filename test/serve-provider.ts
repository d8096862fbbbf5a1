import type http from "node:http";
import { createReceiver, type EventMap, type Provider, type SecretSource } from "@crowdhook/core";
import type { Webhook, WebhookOptions } from "@crowdhook/core/adapter";
import * as expressAdapter from "@crowdhook/express";
import * as fastifyAdapter from "@crowdhook/fastify";
import * as fetchAdapter from "@crowdhook/fetch";
import * as koaAdapter from "@crowdhook/koa";
import * as nodeAdapter from "@crowdhook/node";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import fastify, { type FastifyInstance } from "fastify";
import Koa from "koa";
import { type Answer, type Outgoing, request } from "./request.js";
import { closeFastify, listen, sendTo } from "./targets.js";

/** An adapter's options, and the secret. */
export interface Mounting<Events extends EventMap = EventMap> extends WebhookOptions<Events> {
  readonly secret?: SecretSource;
}

type Mounted<Events extends EventMap> = Omit<Webhook<Events>, "receiver">;

interface Listening {
  /** Empty for core, which has no sockets. */
  readonly origin: string;
  send(outgoing: Outgoing): Promise<Answer>;
  close(): Promise<void>;
}

/** An app that has no webhooks yet. All are mounted before it listens. */
interface App {
  mount<Events extends EventMap>(
    provider: Provider<Events>,
    options: Mounting<Events>,
  ): Promise<Mounted<Events>>;
  listen(): Promise<Listening>;
}

export interface AppKind {
  /** The name of the adapter, or `core`, which has no sockets. */
  readonly name: string;
  create(): App;
}

/** Finds a handler by path, for hosts without routes. A request to any other path goes to the first handler. */
function routes<Handler>() {
  const handlers: { readonly path: string; readonly handler: Handler }[] = [];
  return {
    add: (path: string, handler: Handler) => void handlers.push({ path, handler }),
    find(path: string): Handler {
      const found = handlers.find((each) => path.startsWith(each.path)) ?? handlers[0];
      if (found === undefined) throw new Error("The app has no webhook.");
      return found.handler;
    },
  };
}

async function listening(handler: http.RequestListener): Promise<Listening> {
  const { origin, close } = await listen(handler);
  return { origin, close, send: (outgoing) => request(origin, outgoing) };
}

function coreApp(): App {
  const receivers = routes<ReturnType<typeof createReceiver>["handle"]>();
  return {
    async mount(provider, { path = provider.defaultPath, on = {}, ...options }) {
      const receiver = createReceiver(provider, options);
      for (const [type, listener] of Object.entries(on)) receiver.on(type as never, listener as never);
      receivers.add(path, receiver.handle);
      return receiver;
    },
    async listen() {
      return {
        origin: "",
        send: async (outgoing) => sendTo(receivers.find(outgoing.path ?? ""), outgoing),
        async close() {},
      };
    },
  };
}

function nodeApp(): App {
  const webhooks = routes<http.RequestListener>();
  return {
    async mount(provider, { secret, ...options }) {
      const webhook = nodeAdapter.webhook(provider, secret, options);
      webhooks.add(options.path ?? provider.defaultPath, webhook);
      return webhook;
    },
    listen: () => listening((incoming, response) => webhooks.find(incoming.url ?? "")(incoming, response)),
  };
}

function expressApp(): App {
  const app = express();
  return {
    async mount(provider, { secret, ...options }) {
      const webhook = expressAdapter.webhook(provider, secret, options);
      app.use(webhook);
      return webhook;
    },
    listen: () => listening(app),
  };
}

function koaApp(): App {
  const app = new Koa();
  // Koa prints an error for every aborted upload.
  app.silent = true;
  return {
    async mount(provider, { secret, ...options }) {
      const webhook = koaAdapter.webhook(provider, secret, options);
      app.use(webhook);
      return webhook;
    },
    listen: () => listening(app.callback()),
  };
}

function fastifyApp(): App {
  const app = fastify();
  return {
    async mount(provider, options) {
      // Fastify allows one decorator of a name per scope, so each webhook gets a scope.
      let own: FastifyInstance = app;
      await app.register(async (scope) => {
        own = scope;
        await scope.register(fastifyAdapter.webhook(provider), options);
      });
      return own.getDecorator(provider.name);
    },
    async listen() {
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return {
        origin,
        send: (outgoing) => request(origin, outgoing),
        close: () => closeFastify(app),
      };
    },
  };
}

function fetchApp(): App {
  const webhooks = routes<(incoming: Request) => Promise<Response>>();
  return {
    async mount(provider, { secret, path = provider.defaultPath, ...options }) {
      const webhook = fetchAdapter.webhook(provider, secret, { path, ...options });
      webhooks.add(path, webhook);
      return webhook;
    },
    listen: () =>
      listening(getRequestListener((incoming) => webhooks.find(new URL(incoming.url).pathname)(incoming))),
  };
}

/** Apps that mount a webhook of any provider, one on each adapter. */
export const APPS: readonly AppKind[] = [
  { name: "node", create: nodeApp },
  { name: "express", create: expressApp },
  { name: "koa", create: koaApp },
  { name: "fastify", create: fastifyApp },
  { name: "fetch", create: fetchApp },
];

/** The receiver without an adapter. Its tests use no sockets, so they can change every byte of a body. */
export const CORE: AppKind = { name: "core", create: coreApp };
