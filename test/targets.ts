import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver, type ReceiverOptions } from "@crowdhook/core";
import type { Mounted } from "@crowdhook/core/adapter";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook as expressWebhook } from "@crowdhook/express";
import { tolokaWebhook as fastifyWebhook } from "@crowdhook/fastify";
import { tolokaWebhook as fetchWebhook } from "@crowdhook/fetch";
import { tolokaWebhook as koaWebhook } from "@crowdhook/koa";
import { tolokaWebhook as nodeWebhook } from "@crowdhook/node";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface Outgoing {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array;
  /** Sent without a Content-Length. */
  chunked?: boolean;
}

export interface Running {
  webhook: Omit<Mounted<TolokaEvents>, "receiver">;
  /** Where it listens; absent where there is no socket. */
  origin?: string;
  send(request: Outgoing): Promise<Answer>;
  close(): Promise<void>;
}

export interface Target {
  name: string;
  start(options: ReceiverOptions): Promise<Running>;
}

/** One request over a real socket; the answer as soon as it is there, even while the body is being sent. */
export function request(origin: string, outgoing: Outgoing): Promise<Answer> {
  const { method = "POST", path = "/toloka-webhook", headers = {}, body = "", chunked = false } = outgoing;
  const bytes = Buffer.from(body as Uint8Array);
  return new Promise((resolve, reject) => {
    const length = chunked ? { "transfer-encoding": "chunked" } : { "content-length": bytes.byteLength };
    const sent = http.request(new URL(path, origin), {
      method,
      headers: { ...length, ...headers },
      agent: false,
    });
    sent.on("error", reject);
    sent.on("response", async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: Buffer.concat(chunks).toString(),
      });
    });
    sent.end(bytes);
  });
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

function running(webhook: Running["webhook"], server: { origin: string; close(): Promise<void> }): Running {
  return { webhook, ...server, send: (outgoing) => request(server.origin, outgoing) };
}

const core: Target = {
  name: "core",
  async start(options) {
    const receiver = createReceiver(toloka, options);
    return {
      webhook: receiver,
      async send({ method = "POST", headers = {}, body = "" }) {
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
      const webhook = nodeWebhook(secret, options);
      return running(webhook, await listen(webhook));
    },
  },
  {
    name: "express",
    async start({ secret, ...options }) {
      const webhook = expressWebhook(secret, options);
      return running(webhook, await listen(express().use(webhook)));
    },
  },
  {
    name: "fastify",
    async start(options) {
      const app = fastify();
      await app.register(fastifyWebhook, options);
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      return running(app.toloka, { origin, close: () => closeFastify(app) });
    },
  },
  {
    name: "koa",
    async start({ secret, ...options }) {
      const webhook = koaWebhook(secret, options);
      const app = new Koa();
      // Koa prints every upload that breaks off.
      app.silent = true;
      return running(webhook, await listen(app.use(webhook).callback()));
    },
  },
  {
    name: "fetch",
    async start({ secret, ...options }) {
      const webhook = fetchWebhook(secret, { ...options, path: "/toloka-webhook" });
      const app = new Hono().all("*", (c) => webhook(c.req.raw));
      const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as http.Server;
      await once(server, "listening");
      return running(webhook, {
        origin: originOf(server.address()),
        async close() {
          server.closeAllConnections();
          await new Promise((resolve) => server.close(resolve));
        },
      });
    },
  },
];

async function closeFastify(app: ReturnType<typeof fastify>): Promise<void> {
  app.server.closeAllConnections();
  await app.close();
}
