import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { Webhook } from "@crowdhook/core/adapter";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { tolokaWebhook as expressWebhook } from "@crowdhook/express";
import { tolokaWebhook as fastifyPlugin } from "@crowdhook/fastify";
import { tolokaWebhook as koaWebhook } from "@crowdhook/koa";
import { tolokaWebhook as nodeWebhook } from "@crowdhook/node";
import fastify from "fastify";
import Koa from "koa";
import { afterEach, describe, expect, test } from "vitest";
import { genuine, SECRET } from "./mounted.js";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type Handler = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => unknown;

interface Served {
  readonly webhook: Pick<Webhook<TolokaEvents>, "on">;
  readonly server: http2.Http2Server;
}

async function serve(handler: Handler): Promise<http2.Http2Server> {
  const server = http2.createServer((request, response) => void handler(request, response)).listen(0);
  await once(server, "listening");
  closing.push(() => void server.close());
  return server;
}

const SERVE: [string, () => Promise<Served>][] = [
  [
    "node",
    async () => {
      const webhook = nodeWebhook(SECRET);
      return { webhook, server: await serve(webhook as unknown as Handler) };
    },
  ],
  [
    "express, without an app, because Express has no HTTP/2",
    async () => {
      const webhook = expressWebhook(SECRET);
      return { webhook, server: await serve(webhook as unknown as Handler) };
    },
  ],
  [
    "koa",
    async () => {
      const webhook = koaWebhook(SECRET);
      return { webhook, server: await serve(new Koa().use(webhook).callback() as unknown as Handler) };
    },
  ],
  [
    "fastify",
    async () => {
      const app = fastify({ http2: true });
      closing.push(() => app.close());
      await app.register(fastifyPlugin as never, { secret: SECRET } as never);
      await app.listen({ port: 0, host: "localhost" });
      const { toloka } = app as unknown as { toloka: Webhook<TolokaEvents> };
      return { webhook: toloka, server: app.server };
    },
  ],
];

function connect(server: http2.Http2Server): http2.ClientHttp2Session {
  const session = http2.connect(`http://localhost:${(server.address() as AddressInfo).port}`);
  closing.push(() => session.destroy());
  return session;
}

/** Sends a delivery. Its body is complete unless a part of it is given. */
function deliver(session: http2.ClientHttp2Session, part?: string): http2.ClientHttp2Stream {
  const { headers, body } = genuine();
  const stream = session.request({ ":method": "POST", ":path": "/toloka-webhook", ...headers });
  stream.on("error", () => {});
  stream.resume();
  if (part === undefined) stream.end(body);
  else stream.write(part);
  return stream;
}

describe.each(SERVE)("HTTP/2: %s", (_, start) => {
  test("webhook answers, and context.signal does not abort", async () => {
    const { webhook, server } = await start();
    let signal: AbortSignal | undefined;
    webhook.on("POOL_CLOSED", (_event, context) => {
      ({ signal } = context);
    });
    const stream = deliver(connect(server));
    const [headers] = await once(stream, "response");
    expect(headers[":status"]).toBe(200);
    await once(stream, "close");
    await new Promise((resolve) => setImmediate(resolve));
    expect(signal?.aborted).toBe(false);
  });

  test.each<[string, (stream: http2.ClientHttp2Stream, session: http2.ClientHttp2Session) => void]>([
    ["cancels the stream", (stream) => stream.close(http2.constants.NGHTTP2_CANCEL)],
    ["closes the connection", (_stream, session) => session.destroy()],
  ])("context.signal aborts when the sender %s", async (_, hangUp) => {
    const { webhook, server } = await start();
    const session = connect(server);
    const aborted = new Promise<void>((resolve) => {
      webhook.on("POOL_CLOSED", async ({ id }, { signal }) => {
        expect(id).toBeTypeOf("string");
        const reached = new Promise((resolve) => signal.addEventListener("abort", resolve));
        hangUp(stream, session);
        await reached;
        resolve();
      });
    });
    const stream = deliver(session);
    await aborted;
  });

  test("context.signal is aborted when a listener reads it after the sender has cancelled", async () => {
    const { webhook, server } = await start();
    const closed = new Promise((resolve) => {
      server.once("stream", (stream) => stream.once("close", resolve));
    });
    const aborted = new Promise<boolean>((resolve) => {
      webhook.on("POOL_CLOSED", async (_event, context) => {
        stream.close(http2.constants.NGHTTP2_CANCEL);
        await closed;
        resolve(context.signal.aborted);
      });
    });
    const stream = deliver(connect(server));
    expect(await aborted).toBe(true);
  });

  test("webhook serves the next delivery after one whose body was cancelled", async () => {
    const { server } = await start();
    const session = connect(server);
    const cancelled = deliver(session, "{");
    cancelled.close(http2.constants.NGHTTP2_CANCEL);
    await once(cancelled, "close");
    const [headers] = await once(deliver(session), "response");
    expect(headers[":status"]).toBe(200);
  });
});

test("webhook settles when the sender has cancelled before the app calls it", async () => {
  const webhook = nodeWebhook(SECRET) as unknown as Handler;
  const settled = new Promise<void>((resolve, reject) => {
    serve(async (request, response) => {
      await once(request, "close");
      Promise.resolve(webhook(request, response)).then(() => resolve(), reject);
    }).then((server) => {
      const stream = deliver(connect(server), "{");
      server.once("stream", () => stream.close(http2.constants.NGHTTP2_CANCEL));
    }, reject);
  });
  await settled;
});
