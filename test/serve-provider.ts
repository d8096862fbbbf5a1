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
import { afterEach } from "vitest";
import { SECRET } from "./mounted.js";
import { listen } from "./targets.js";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Served<Events extends EventMap> {
  readonly webhook: Webhook<Events>;
  readonly origin: string;
}

/** Serves a webhook of any provider by its adapter's `webhook`. */
type Serve = <Events extends EventMap>(
  provider: Provider<Events>,
  options?: WebhookOptions<Events>,
  secret?: SecretSource,
) => Promise<Served<Events>>;

async function serveHandler(handler: Parameters<typeof listen>[0]): Promise<string> {
  const { origin, close } = await listen(handler);
  closing.push(close);
  return origin;
}

/** One entry per adapter. Everything that is served is closed after the test. */
export const SERVE: readonly (readonly [string, Serve])[] = [
  [
    "node",
    async (provider, options, secret = SECRET) => {
      const webhook = nodeAdapter.webhook(provider, secret, options);
      return { webhook, origin: await serveHandler(webhook) };
    },
  ],
  [
    "express",
    async (provider, options, secret = SECRET) => {
      const webhook = expressAdapter.webhook(provider, secret, options);
      return { webhook, origin: await serveHandler(express().use(webhook)) };
    },
  ],
  [
    "koa",
    async (provider, options, secret = SECRET) => {
      const webhook = koaAdapter.webhook(provider, secret, options);
      return { webhook, origin: await serveHandler(new Koa().use(webhook).callback()) };
    },
  ],
  [
    "fastify",
    async (provider, options, secret = SECRET) => {
      const app = fastify();
      closing.push(() => app.close());
      await app.register(fastifyAdapter.webhook(provider), { secret, ...options });
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return { webhook: app.getDecorator(provider.name), origin };
    },
  ],
  [
    "fetch",
    async (provider, options, secret = SECRET) => {
      const webhook = fetchAdapter.webhook(provider, secret, { path: provider.defaultPath, ...options });
      return { webhook, origin: await serveHandler(getRequestListener((incoming) => webhook(incoming))) };
    },
  ],
];
