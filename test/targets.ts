import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver, type Receiver, type ReceiverOptions } from "@crowdhook/core";
import type { Webhook } from "@crowdhook/core/adapter";
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
  webhook: Omit<Webhook<TolokaEvents>, "receiver">;
  prolific: Omit<Webhook<ProlificEvents>, "receiver">;
  /** Where the app listens. Only core has neither `origin` nor `server`. */
  origin?: string;
  server?: http.Server;
  send(request: Outgoing): Promise<Answer>;
  close(): Promise<void>;
}

/** Starts an app with a webhook of each provider. Both webhooks get the same options. */
export interface Target {
  name: string;
  /** @param host Options of the app's `http.Server`, such as its timeouts. */
  start(options: ReceiverOptions, host?: http.ServerOptions): Promise<Running>;
}

interface Served {
  origin: string;
  server: http.Server;
  close(): Promise<void>;
}

export async function listen(handler: http.RequestListener, host: http.ServerOptions = {}): Promise<Served> {
  const server = http.createServer(host, handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  return served(server);
}

function served(server: http.Server): Served {
  return {
    origin: originOf(server.address()),
    server,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function originOf(address: AddressInfo | string | null): string {
  return `http://127.0.0.1:${(address as AddressInfo).port}`;
}

function running(webhooks: Pick<Running, "webhook" | "prolific">, at: Served): Running {
  return { ...webhooks, ...at, send: (outgoing) => request(at.origin, outgoing) };
}

/** Sends a delivery to a receiver without an adapter. */
export async function sendTo(
  handle: Receiver["handle"],
  { method = "POST", headers = {}, body = "" }: Outgoing,
): Promise<Answer> {
  const reply = await handle({ method, headers, body });
  return { status: reply.status, headers: { ...reply.headers }, text: reply.body };
}

const core: Target = {
  name: "core",
  async start(options) {
    const webhook = createReceiver(toloka, options);
    const ofProlific = createReceiver(prolific, options);
    return {
      webhook,
      prolific: ofProlific,
      send: (outgoing) =>
        sendTo(outgoing.path === prolific.defaultPath ? ofProlific.handle : webhook.handle, outgoing),
      async close() {},
    };
  },
};

export const TARGETS: readonly Target[] = [
  core,
  {
    name: "node",
    async start({ secret, ...options }, host) {
      const webhook = nodeAdapter.tolokaWebhook(secret, options);
      const prolific = nodeAdapter.prolificWebhook(secret, options);
      const server = await listen((request, response) => {
        const chosen = request.url?.startsWith("/prolific") ? prolific : webhook;
        void chosen(request, response);
      }, host);
      return running({ webhook, prolific }, server);
    },
  },
  {
    name: "express",
    async start({ secret, ...options }, host) {
      const webhook = expressAdapter.tolokaWebhook(secret, options);
      const prolific = expressAdapter.prolificWebhook(secret, options);
      return running({ webhook, prolific }, await listen(express().use(webhook, prolific), host));
    },
  },
  {
    name: "fastify",
    async start(options, host = {}) {
      const app = fastify({ http: host });
      await app.register(fastifyAdapter.tolokaWebhook, options);
      await app.register(fastifyAdapter.prolificWebhook, options);
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return running(
        { webhook: app.toloka, prolific: app.prolific },
        { origin, server: app.server, close: () => closeFastify(app) },
      );
    },
  },
  {
    name: "koa",
    async start({ secret, ...options }, host) {
      const webhook = koaAdapter.tolokaWebhook(secret, options);
      const prolific = koaAdapter.prolificWebhook(secret, options);
      const app = new Koa();
      // Koa prints an error for every aborted upload.
      app.silent = true;
      return running({ webhook, prolific }, await listen(app.use(webhook).use(prolific).callback(), host));
    },
  },
  {
    name: "fetch",
    async start({ secret, ...options }, host = {}) {
      const webhook = fetchAdapter.tolokaWebhook(secret, { ...options, path: "/toloka-webhook" });
      const prolific = fetchAdapter.prolificWebhook(secret, options);
      const app = new Hono()
        .all("/prolific-webhook", (c) => prolific(c.req.raw))
        .all("*", (c) => webhook(c.req.raw));
      const server = serve({
        fetch: app.fetch,
        port: 0,
        hostname: "127.0.0.1",
        serverOptions: host,
      }) as http.Server;
      await once(server, "listening");
      return running({ webhook, prolific }, served(server));
    },
  },
];

export async function closeFastify(app: ReturnType<typeof fastify>): Promise<void> {
  app.server.closeAllConnections();
  await app.close();
}
