import type { EventMap, Provider, SecretSource } from "@crowdhook/core";
import type { Webhook, WebhookOptions } from "@crowdhook/core/adapter";
import * as expressAdapter from "@crowdhook/express";
import * as fastifyAdapter from "@crowdhook/fastify";
import * as fetchAdapter from "@crowdhook/fetch";
import * as koaAdapter from "@crowdhook/koa";
import * as nodeAdapter from "@crowdhook/node";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import Koa from "koa";
import { closeFastify, listen } from "./targets.js";

export interface Served<Events extends EventMap> {
  readonly webhook: Webhook<Events>;
  readonly origin: string;
  close(): Promise<void>;
}

/** Serves a webhook of any provider by its adapter's `webhook`. */
type Serve = <Events extends EventMap>(
  provider: Provider<Events>,
  secret: SecretSource,
  options?: WebhookOptions<Events>,
) => Promise<Served<Events>>;

/** One entry per adapter. */
export const ADAPTER_SERVERS: readonly (readonly [name: string, Serve])[] = [
  [
    "node",
    async (provider, secret, options) => {
      const webhook = nodeAdapter.webhook(provider, secret, options);
      return { webhook, ...(await listen(webhook)) };
    },
  ],
  [
    "express",
    async (provider, secret, options) => {
      const webhook = expressAdapter.webhook(provider, secret, options);
      return { webhook, ...(await listen(express().use(webhook))) };
    },
  ],
  [
    "fastify",
    async (provider, secret, options) => {
      const app = fastify();
      await app.register(fastifyAdapter.webhook(provider), { secret, ...options });
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return { webhook: app.getDecorator(provider.name), origin, close: () => closeFastify(app) };
    },
  ],
  [
    "koa",
    async (provider, secret, options) => {
      const webhook = koaAdapter.webhook(provider, secret, options);
      const app = new Koa();
      // Koa prints an error for every aborted upload.
      app.silent = true;
      return { webhook, ...(await listen(app.use(webhook).callback())) };
    },
  ],
  [
    "fetch",
    async (provider, secret, options) => {
      const webhook = fetchAdapter.webhook(provider, secret, { path: provider.defaultPath, ...options });
      return { webhook, ...(await listen(getRequestListener((incoming) => webhook(incoming)))) };
    },
  ],
];
