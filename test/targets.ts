import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver, type ReceiverOptions } from "@crowdhook/core";
import type { Mounted } from "@crowdhook/core/adapter";
import { type ProlificEvents, prolific } from "@crowdhook/core/prolific";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import * as expressAdapter from "@crowdhook/express";
import * as fastifyAdapter from "@crowdhook/fastify";
import * as fetchAdapter from "@crowdhook/fetch";
import * as koaAdapter from "@crowdhook/koa";
import * as nodeAdapter from "@crowdhook/node";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { type Answer, type Outgoing, request } from "./request.js";

export interface Running {
  webhook: Omit<Mounted<TolokaEvents>, "receiver">;
  prolific: Omit<Mounted<ProlificEvents>, "receiver">;
  /** Where it listens; absent where there is no socket. */
  origin?: string;
  send(request: Outgoing): Promise<Answer>;
  close(): Promise<void>;
}

/** Starts an app that has a webhook of either provider, both with the same options. */
export interface Target {
  name: string;
  start(options: ReceiverOptions): Promise<Running>;
}

export async function listen(
  handler: http.RequestListener,
): Promise<{ origin: string; close(): Promise<void> }> {
  const server = http.createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: originOf(server.address()),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function originOf(address: AddressInfo | string | null): string {
  return `http://127.0.0.1:${(address as AddressInfo).port}`;
}

function running(
  webhooks: Pick<Running, "webhook" | "prolific">,
  server: { origin: string; close(): Promise<void> },
): Running {
  return { ...webhooks, ...server, send: (outgoing) => request(server.origin, outgoing) };
}

const core: Target = {
  name: "core",
  async start(options) {
    const webhook = createReceiver(toloka, options);
    const ofProlific = createReceiver(prolific, options);
    return {
      webhook,
      prolific: ofProlific,
      async send({ method = "POST", path, headers = {}, body = "" }) {
        const receiver = path === prolific.defaultPath ? ofProlific : webhook;
        const reply = await receiver.handle({ method, headers, body });
        return { status: reply.status, headers: { ...reply.headers }, text: reply.body };
      },
      async close() {},
    };
  },
};

export const TARGETS: readonly Target[] = [
  core,
  {
    name: "node",
    async start({ secret, ...options }) {
      const webhook = nodeAdapter.tolokaWebhook(secret, options);
      const prolific = nodeAdapter.prolificWebhook(secret, options);
      const server = await listen((request, response) => {
        const chosen = request.url?.startsWith("/prolific") ? prolific : webhook;
        void chosen(request, response);
      });
      return running({ webhook, prolific }, server);
    },
  },
  {
    name: "express",
    async start({ secret, ...options }) {
      const webhook = expressAdapter.tolokaWebhook(secret, options);
      const prolific = expressAdapter.prolificWebhook(secret, options);
      return running({ webhook, prolific }, await listen(express().use(webhook, prolific)));
    },
  },
  {
    name: "fastify",
    async start(options) {
      const app = fastify();
      await app.register(fastifyAdapter.tolokaWebhook, options);
      await app.register(fastifyAdapter.prolificWebhook, options);
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return running(
        { webhook: app.toloka, prolific: app.prolific },
        { origin, close: () => closeFastify(app) },
      );
    },
  },
  {
    name: "koa",
    async start({ secret, ...options }) {
      const webhook = koaAdapter.tolokaWebhook(secret, options);
      const prolific = koaAdapter.prolificWebhook(secret, options);
      const app = new Koa();
      // Koa prints every upload that breaks off.
      app.silent = true;
      return running({ webhook, prolific }, await listen(app.use(webhook).use(prolific).callback()));
    },
  },
  {
    name: "fetch",
    async start({ secret, ...options }) {
      const webhook = fetchAdapter.tolokaWebhook(secret, { ...options, path: "/toloka-webhook" });
      const prolific = fetchAdapter.prolificWebhook(secret, options);
      const app = new Hono()
        .all("/prolific-webhook", (c) => prolific(c.req.raw))
        .all("*", (c) => webhook(c.req.raw));
      const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as http.Server;
      await once(server, "listening");
      return running(
        { webhook, prolific },
        {
          origin: originOf(server.address()),
          async close() {
            server.closeAllConnections();
            await new Promise((resolve) => server.close(resolve));
          },
        },
      );
    },
  },
];

async function closeFastify(app: ReturnType<typeof fastify>): Promise<void> {
  app.server.closeAllConnections();
  await app.close();
}
