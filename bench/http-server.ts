/**
 * A server that `http.ts` measures, in a process of its own: `<framework> <side>`. It tells its port,
 * and on every message what it has used so far.
 */
import { createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import type { Hono } from "hono";
import { gc } from "./garbage.js";
import { PATHS, SECRET } from "./requests.js";

export type Framework = "node" | "express" | "fastify" | "koa" | "fetch";

/**
 * Bare: reads the bytes. Hand: verifies and parses them, too; again is the same once more. Usual: the
 * same with what Express brings for it. Ours: our adapter.
 */
export type Side = "bare" | "hand" | "again" | "usual" | "ours" | "octokit";

/** What each message is answered with. */
export interface Usage {
  /** Microseconds of CPU time. */
  readonly cpu: number;
  /** Bytes of resident memory. */
  readonly memory: number;
  /** What of it is objects. */
  readonly heap: number;
  /** The most there ever was. */
  readonly peak: number;
  /** Events that came out. */
  readonly events: number;
}

export interface Ask {
  /** Whether garbage is to be collected first. */
  readonly collect?: boolean;
}

let events = 0;
const heard = async () => {
  events++;
};
const on = { ASSIGNMENT_SUBMITTED: heard };

// What the replies of the others look like, too.
const REPLY = '{"handled":1,"duplicate":0,"failed":0,"busy":0,"unrecognized":0}';
const HEADERS = { "content-type": "application/json", "content-length": String(REPLY.length) };

const KEY = createSecretKey(Buffer.from(SECRET));
const received = Buffer.alloc(64);
const expected = Buffer.alloc(64);

/** What someone writes by hand: HMAC, a comparison in constant time, the time, JSON. */
function verifyAndParse(header: string | undefined, body: Buffer): boolean {
  const [, ts, sign = ""] = /^\{v=1, ts=(\d+), sign=([0-9a-f]{64})\}$/.exec(header ?? "") ?? [];
  if (ts === undefined) return false;
  expected.write(createHmac("sha256", KEY).update(`${ts}.1.`).update(body).digest("hex"), "latin1");
  received.write(sign, "latin1");
  if (!timingSafeEqual(expected, received)) return false;
  if (Math.abs(Date.now() - Number(ts)) > 300_000) return false;
  events += JSON.parse(body.toString()).events.length;
  return true;
}

type Accept = (header: string | undefined, body: Buffer) => boolean;

/** Only reads the bytes. */
const bare: Accept = () => {
  events++;
  return true;
};

const headerOf = (request: IncomingMessage) => request.headers["toloka-signature"] as string | undefined;

function read(request: IncomingMessage, then: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => then(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
}

/** What someone writes by hand, the leanest way to the bytes: a body parser of the framework's costs more. */
function answer(request: IncomingMessage, response: ServerResponse, accept: Accept): void {
  read(request, (body) => {
    if (accept(headerOf(request), body)) response.writeHead(200, HEADERS).end(REPLY);
    else response.writeHead(401).end();
  });
}

/** Each starts a server and resolves to its port. */
type Start = () => Promise<number>;

/**
 * How the bytes are read and answered by hand; and our adapter. Each imports what it needs, so that no
 * other has that in its memory.
 */
const FRAMEWORKS: Readonly<Record<Framework, { byHand(accept: Accept): Promise<number>; ours: Start }>> = {
  node: {
    byHand: (accept) =>
      listening((request, response) => {
        if (request.url === PATHS.toloka && request.method === "POST") answer(request, response, accept);
        else response.writeHead(404).end();
      }),
    async ours() {
      const { tolokaWebhook } = await import("@crowdhook/node");
      return listening(tolokaWebhook(SECRET, { on }));
    },
  },
  express: {
    async byHand(accept) {
      const { default: express } = await import("express");
      return listening(
        express().post(PATHS.toloka, (request, response) => answer(request, response, accept)),
      );
    },
    async ours() {
      const { default: express } = await import("express");
      const { tolokaWebhook } = await import("@crowdhook/express");
      return listening(express().use(tolokaWebhook(SECRET, { on })));
    },
  },
  fastify: {
    async byHand(accept) {
      const { default: fastify } = await import("fastify");
      const app = fastify();
      const type = "application/json";
      app.addContentTypeParser<Buffer>(type, { parseAs: "buffer" }, (_, body, done) => done(null, body));
      app.post<{ Body: Buffer }>(PATHS.toloka, async (request, reply) => {
        const accepted = accept(headerOf(request.raw), request.body);
        return accepted ? reply.headers(HEADERS).send(REPLY) : reply.code(401).send();
      });
      return fastifyPort(app);
    },
    async ours() {
      const { default: fastify } = await import("fastify");
      const { tolokaWebhook } = await import("@crowdhook/fastify");
      const app = fastify();
      await app.register(tolokaWebhook, { secret: SECRET, on });
      return fastifyPort(app);
    },
  },
  koa: {
    async byHand(accept) {
      const { default: Koa } = await import("koa");
      const app = new Koa().use(async (ctx, next) => {
        if (ctx.path !== PATHS.toloka || ctx.method !== "POST") return next();
        const body = await new Promise<Buffer>((resolve) => read(ctx.req, resolve));
        ctx.status = accept(headerOf(ctx.req), body) ? 200 : 401;
        ctx.set(HEADERS);
        ctx.body = REPLY;
      });
      return listening(app.callback());
    },
    async ours() {
      const { default: Koa } = await import("koa");
      const { tolokaWebhook } = await import("@crowdhook/koa");
      return listening(new Koa().use(tolokaWebhook(SECRET, { on })).callback());
    },
  },
  fetch: {
    async byHand(accept) {
      const { Hono } = await import("hono");
      const app = new Hono().post(PATHS.toloka, async (c) => {
        const body = Buffer.from(await c.req.arrayBuffer());
        const accepted = accept(c.req.header("toloka-signature"), body);
        return accepted ? c.body(REPLY, 200, HEADERS) : c.body(null, 401);
      });
      return honoPort(app);
    },
    async ours() {
      const { Hono } = await import("hono");
      const { tolokaWebhook } = await import("@crowdhook/fetch");
      const webhook = tolokaWebhook(SECRET, { on });
      return honoPort(new Hono().post(PATHS.toloka, (c) => webhook(c.req.raw)));
    },
  },
};

const SIDES: Readonly<Record<Side, Start>> = {
  bare: () => FRAMEWORKS[framework].byHand(bare),
  hand: () => FRAMEWORKS[framework].byHand(verifyAndParse),
  again: () => FRAMEWORKS[framework].byHand(verifyAndParse),
  ours: () => FRAMEWORKS[framework].ours(),
  async usual() {
    const { default: express } = await import("express");
    const parser = express.raw({ type: "application/json", limit: "5mb" });
    const app = express().post(PATHS.toloka, parser, (request, response) => {
      if (verifyAndParse(headerOf(request), request.body as Buffer)) response.json(JSON.parse(REPLY));
      else response.sendStatus(401);
    });
    return listening(app);
  },
  async octokit() {
    const { createNodeMiddleware, Webhooks } = await import("@octokit/webhooks");
    const webhooks = new Webhooks({ secret: SECRET });
    webhooks.on("push", heard);
    return listening(createNodeMiddleware(webhooks));
  },
};

async function listening(listener: RequestListener): Promise<number> {
  const server = http.createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function fastifyPort(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: "127.0.0.1" });
  return (app.server.address() as AddressInfo).port;
}

async function honoPort(app: Hono): Promise<number> {
  const { serve } = await import("@hono/node-server");
  return new Promise((resolve) => {
    serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
  });
}

const [framework, side] = process.argv.slice(2) as [Framework, Side];
process.on("message", async ({ collect }: Ask) => {
  if (collect) {
    // Twice: what the first one finalises is free only after the second one.
    for (let i = 0; i < 2; i++) {
      gc();
      await delay(50);
    }
  }
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const usage: Usage = {
    cpu: user + system,
    memory: rss,
    heap: heapUsed,
    peak: process.resourceUsage().maxRSS * 1024,
    events,
  };
  process.send?.(usage);
});
// Whoever started it has ended: nobody else would end it.
process.on("disconnect", () => process.exit());
process.send?.(await SIDES[side]());
