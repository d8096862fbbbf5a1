import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import type { Webhook } from "@crowdhook/core/adapter";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { tolokaWebhook as expressWebhook } from "@crowdhook/express";
import { tolokaWebhook as fastifyPlugin } from "@crowdhook/fastify";
import { tolokaWebhook as koaWebhook } from "@crowdhook/koa";
import { tolokaWebhook as nodeWebhook } from "@crowdhook/node";
import fastify from "fastify";
import Koa from "koa";
import { afterEach, describe, expect, test, vi } from "vitest";
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

/** A frame of HTTP/2. Source: RFC 9113, section 4.1. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block without compression. Source: RFC 7541, section 6.2.2. */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const length = [127];
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    return Buffer.concat([Buffer.from([...length, rest]), bytes]);
  };
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]),
  );
}

const [DATA, HEADERS, RST_STREAM, SETTINGS] = [0, 1, 3, 4];
const END_STREAM = 1;

/** Sends these frames after the headers of a delivery. Node's client cannot leave out END_STREAM. */
async function sendFrames(server: http2.Http2Server, body: string, headers: object, frames: Buffer[]) {
  const socket = net.connect((server.address() as AddressInfo).port, "localhost");
  closing.push(() => socket.destroy());
  await once(socket, "connect");
  socket.resume();
  const block = headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": "/toloka-webhook",
    ":authority": "localhost",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  });
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const start = [preface, frame(SETTINGS, 0, 0), frame(SETTINGS, 1, 0), frame(HEADERS, 4, 1, block)];
  for (const bytes of [...start, ...frames]) socket.write(bytes);
}

describe.each(SERVE)("HTTP/2: %s", (_, start) => {
  const data = (body: string, flags = 0) => frame(DATA, flags, 1, Buffer.from(body));
  const reset = (code: number) => frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code]));
  const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants;

  test("webhook handles a delivery that ends with END_STREAM", async () => {
    const { webhook, server } = await start();
    const handled = new Promise((resolve) => webhook.on("POOL_CLOSED", resolve));
    const { body, headers } = genuine();
    await sendFrames(server, body, headers, [data(body, END_STREAM)]);
    await handled;
  });

  test.each<[string, (body: string) => Buffer[]]>([
    ["a part of the body with CANCEL", (body) => [data(body.slice(0, 20)), reset(NGHTTP2_CANCEL)]],
    ["a part of the body with NO_ERROR", (body) => [data(body.slice(0, 20)), reset(NGHTTP2_NO_ERROR)]],
    ["the whole body with CANCEL", (body) => [data(body), reset(NGHTTP2_CANCEL)]],
    ["the whole body with NO_ERROR", (body) => [data(body), reset(NGHTTP2_NO_ERROR)]],
  ])("a delivery is BODY_ABORTED when the sender resets the stream after %s", async (_, frames) => {
    const { webhook, server } = await start();
    const records: unknown[] = [];
    const recorded = new Promise<void>((resolve) => {
      const listen = (message: unknown) => {
        records.push((message as { code?: string }).code);
        resolve();
      };
      subscribe("crowdhook:delivery", listen);
      closing.push(() => unsubscribe("crowdhook:delivery", listen));
    });
    const heard = vi.fn();
    webhook.on("POOL_CLOSED", heard);
    const { body, headers } = genuine();
    await sendFrames(server, body, headers, frames(body));
    await recorded;
    expect(records).toEqual(["BODY_ABORTED"]);
    expect(heard).not.toHaveBeenCalled();
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
