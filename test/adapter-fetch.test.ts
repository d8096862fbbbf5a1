import type http from "node:http";
import { createReceiver, memoryClaims } from "@crowdhook/core";
import { toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/fetch";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ask, genuine, logged, SECRET, statusAndCode, UNAVAILABLE } from "./mounted.js";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("fetch: an app that makes webhooks", () => {
  const url = "http://localhost/";
  const deliver = (webhook: ReturnType<typeof tolokaWebhook>, delivery = genuine()) => {
    webhook.onAny(() => {});
    return webhook(new Request(url, delivery));
  };

  test.each<[string, () => Promise<unknown>]>([
    [
      "at its start, one for each project",
      async () => {
        const webhooks = [1, 2, 3, 4].map(() => tolokaWebhook(SECRET));
        for (const webhook of webhooks) await deliver(webhook);
      },
    ],
    [
      "at the first request",
      async () => {
        const webhook = tolokaWebhook(SECRET);
        for (const _ of [1, 2, 3, 4]) await deliver(webhook);
      },
    ],
    [
      "for each request, with claims",
      async () => {
        const claims = memoryClaims();
        for (const _ of [1, 2, 3, 4]) await deliver(tolokaWebhook(SECRET, { claims }));
      },
    ],
    [
      "for each request, with one receiver",
      async () => {
        const receiver = createReceiver(toloka, { secret: SECRET });
        for (const _ of [1, 2, 3, 4]) await deliver(tolokaWebhook(receiver));
      },
    ],
  ])("%s gets no warning", async (_, run) => {
    vi.resetModules();
    expect(await logged(run)).toBe("");
  });

  test.each<[string, boolean]>([
    ["deliveries", false],
    ["a duplicate", true],
  ])("for each request gets one warning when %s arrive", async (_, isDuplicate) => {
    vi.resetModules();
    const { tolokaWebhook } = await import("@crowdhook/fetch");
    const first = genuine();
    const log = await logged(async () => {
      for (const _ of isDuplicate ? [1, 2] : [1, 2, 3, 4, 5, 6]) {
        await deliver(tolokaWebhook(SECRET), isDuplicate ? first : genuine());
      }
    });
    expect(log.split("\n")).toEqual([
      expect.stringMatching(/^crowdhook: toloka: claims: .*outside the request/),
    ]);
  });
});

describe("fetch", () => {
  const url = "http://localhost/any/path?a=b";

  test("handler without a path answers every URL", async () => {
    const POST = tolokaWebhook(SECRET, { on: { POOL_CLOSED: () => {} } });
    expect((await POST(new Request(url, genuine()))).status).toBe(200);
  });

  test("handler with a path answers other URLs with 404", async () => {
    const POST = tolokaWebhook(SECRET, { path: "/any/path" });
    expect((await POST(new Request(url, genuine()))).status).toBe(200);
    expect((await POST(new Request("http://localhost/other", genuine()))).status).toBe(404);
  });

  test("handler with a path logs both paths once when a delivery comes to another path", async () => {
    const POST = tolokaWebhook(SECRET, { path: "/any/path" });
    const log = await logged(async () => {
      await POST(new Request("http://localhost/other", { method: "POST" }));
      for (const _ of [1, 2]) await POST(new Request("http://localhost/other?token=x", genuine()));
    });
    expect(log.split("\n")).toEqual([expect.stringMatching(/NOT_FOUND: .*"\/other".*"\/any\/path"/)]);
  });

  /** Requests from a server have a Content-Length, and then the handler reads the body in one call. */
  const withLength = (init: RequestInit & { readonly headers: Record<string, string> }, length: number) => ({
    ...init,
    headers: { ...init.headers, "content-length": `${length}` },
  });
  const sized = () => {
    const delivery = genuine();
    return withLength(delivery, Buffer.byteLength(delivery.body));
  };

  test("handler reads a body of known length", async () => {
    const POST = tolokaWebhook(SECRET, { on: { POOL_CLOSED: () => {} } });
    const response = await POST(new Request(url, sized()));
    expect([response.status, await response.json()]).toMatchObject([200, { handled: 1 }]);
  });

  test.each<[string, () => RequestInit, (request: Request) => unknown]>([
    ["was used", genuine, (request) => request.json()],
    ["is being read", genuine, (request) => request.body?.getReader()],
    ["of known length was used", sized, (request) => request.json()],
    ["of known length is being read", sized, (request) => request.body?.getReader()],
  ])("handler answers BODY_UNAVAILABLE at once when the body %s", async (_, init, before) => {
    const POST = tolokaWebhook(SECRET);
    const request = new Request(url, init());
    await before(request);
    const log = await logged(async () => {
      const response = await POST(request);
      expect(statusAndCode({ status: response.status, text: await response.text() })).toEqual(UNAVAILABLE);
    });
    expect(log).toContain("clone");
  });

  test("handler passes its response to waitUntil of the host", async () => {
    const POST = tolokaWebhook(SECRET);
    const waited: Promise<unknown>[] = [];
    // A Worker calls its handler with its bindings and its context.
    const context = {
      count: 0,
      waitUntil(work: Promise<unknown>) {
        this.count++;
        waited.push(work);
      },
    };
    const response = POST(new Request(url, genuine()), {}, context);
    expect(context.count).toBe(1);
    expect((await response).status).toBe(200);
    expect(await waited[0]).toBe(await response);
  });

  test.each<[string, (request: Request) => unknown]>([
    ["SvelteKit", (request) => ({ request, params: {}, platform: undefined, locals: {} })],
    ["Astro", (request) => ({ request, locals: {}, site: undefined })],
    ["React Router", (request) => ({ request, params: {}, context: {} })],
    ["a service worker", (request) => ({ request, respondWith: () => {} })],
    ["h3 2", (request) => ({ req: request, url: new URL(request.url) })],
    ["h3 1 on Workers", (request) => ({ web: { request }, node: undefined })],
    [
      "a host with getters that throw",
      (request) => ({
        request,
        get platform() {
          throw new Error("not here");
        },
      }),
    ],
  ])("handler takes the request out of the object that %s hands over", async (_, hold) => {
    const POST = tolokaWebhook(SECRET, { on: { POOL_CLOSED: () => {} }, path: "/any/path" });
    const response = await POST(hold(new Request(url, genuine())) as { request: Request });
    expect([response.status, await response.json()]).toMatchObject([200, { handled: 1 }]);
  });

  test.each<[string, (context: object) => object]>([
    ["SvelteKit", (context) => ({ platform: { context } })],
    ["SvelteKit, in newer versions", (context) => ({ platform: { ctx: context } })],
    ["Astro", (context) => ({ locals: { runtime: { ctx: context } } })],
    ["Astro, in newer versions", (context) => ({ locals: { cfContext: context } })],
    ["React Router", (context) => ({ context: { cloudflare: { ctx: context } } })],
    ["h3", (context) => context],
  ])("handler passes its response to waitUntil in the object that %s hands over", async (_, hold) => {
    const waited: Promise<unknown>[] = [];
    const context = { waitUntil: (work: Promise<unknown>) => void waited.push(work) };
    const event = { ...hold(context), request: new Request(url, genuine()) };
    const response = await tolokaWebhook(SECRET)(event);
    expect(await Promise.all(waited)).toEqual([response]);
  });

  const nodeRequest = { httpVersion: "1.1", method: "POST", headers: {}, on: () => {} };
  test.each<[string, unknown, string]>([
    ["a Hono context", { req: { raw: new Request(url), header: () => {} } }, "context.req.raw"],
    ["a Node request", nodeRequest, "@crowdhook/node"],
    ["a Koa context", { req: nodeRequest, request: { method: "POST", headers: {} } }, "@crowdhook/koa"],
    ["a Fastify request", { raw: nodeRequest, headers: {} }, "@crowdhook/fastify"],
    ["an h3 event on Node", { node: { req: nodeRequest } }, "toWebRequest(event)"],
    ["an event of Lambda", { headers: {}, body: "{}", requestContext: {} }, "no Request"],
    ["nothing", undefined, "no Request but a value of the type undefined"],
    ["null", null, "of the type null"],
    ["a URL", url, "of the type string"],
  ])("handler answers 500 and logs the mistake when it gets %s", async (_, input, message) => {
    const log = await logged(async () => {
      const response = await tolokaWebhook(SECRET)(input as Request);
      expect([response.status, await response.json()]).toMatchObject([500, { code: "INTERNAL_ERROR" }]);
    });
    expect(log).toContain(message);
  });

  test("handler answers 500 over the socket when node:http calls it", async () => {
    const listener = tolokaWebhook(SECRET) as unknown as http.RequestListener;
    const log = await logged(async () => expect((await ask(listener, genuine())).status).toBe(500));
    expect(log).toContain("got a Node request");
  });

  test.each([undefined, null, "x", { params: {} }])(
    "handler ignores a second argument of %o",
    async (host) => {
      expect((await tolokaWebhook(SECRET)(new Request(url, genuine()), host)).status).toBe(200);
    },
  );

  test("handler reads a clone of a request", async () => {
    const POST = tolokaWebhook(SECRET);
    const request = new Request(url, genuine());
    const clone = request.clone();
    await request.json();
    expect((await POST(clone)).status).toBe(200);
  });

  test.each([
    ["of unknown length", genuine],
    ["of known length", sized],
  ])("the app can clone a request %s right after it called the handler", async (_, init) => {
    const POST = tolokaWebhook(SECRET);
    const request = new Request(url, init());
    const response = POST(request);
    expect(await request.clone().json()).toHaveProperty("events");
    expect((await response).status).toBe(200);
  });

  test.each(["", "-1", "0x10", "1e1", "5, 5"])(
    "handler ignores a Content-Length of %j and keeps no more bytes than the limit",
    async (length) => {
      const POST = tolokaWebhook(SECRET, { maxBodySize: 10 });
      const arrayBuffer = vi.spyOn(Request.prototype, "arrayBuffer");
      const request = new Request(url, withLength(genuine(), 0));
      request.headers.set("content-length", length);
      expect((await POST(request)).status).toBe(413);
      expect(arrayBuffer).not.toHaveBeenCalled();
      arrayBuffer.mockRestore();
    },
  );

  test("handler ignores a Content-Length beside a Transfer-Encoding", async () => {
    const POST = tolokaWebhook(SECRET, { maxBodySize: 10 });
    const request = new Request(url, withLength(genuine(), 5));
    request.headers.set("transfer-encoding", "chunked");
    const arrayBuffer = vi.spyOn(request, "arrayBuffer");
    expect((await POST(request)).status).toBe(413);
    expect(arrayBuffer).not.toHaveBeenCalled();
  });

  test("handler answers 413 to a stream over the limit, whatever its Content-Length", async () => {
    const POST = tolokaWebhook(SECRET, { maxBodySize: 10 });
    const body = new Blob(["x".repeat(100)]).stream();
    const init = { method: "POST", body, duplex: "half", headers: { "content-length": "5" } } as RequestInit;
    expect((await POST(new Request(url, init))).status).toBe(413);
  });

  test.each<[string, Record<string, string>]>([
    ["of unknown length", {}],
    ["of known length", { "content-length": "100" }],
  ])("handler answers BODY_ABORTED when a stream %s fails", async (_, headers) => {
    const POST = tolokaWebhook(SECRET);
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    const init = { method: "POST", body, duplex: "half", headers } as RequestInit;
    const response = await POST(new Request(url, init));
    expect(statusAndCode({ status: response.status, text: await response.text() })).toEqual({
      status: 400,
      code: "BODY_ABORTED",
    });
  });

  const named = (name: string, fields = {}) => Object.assign(new Error("too large"), { name, ...fields });
  test.each<[string, Error]>([
    ["the status 413", named("Error", { status: 413 })],
    ["the statusCode 413", named("Error", { statusCode: 413 })],
    ["the name PayloadTooLargeError", named("PayloadTooLargeError")],
    ["the name BodyLimitError", named("BodyLimitError")],
    ["the code FST_ERR_CTP_BODY_TOO_LARGE", named("Error", { code: "FST_ERR_CTP_BODY_TOO_LARGE" })],
    ["a cause with the status 413", named("Error", { cause: { status: 413 } })],
  ])("handler answers 413 when the host ends the body with %s", async (_, error) => {
    for (const headers of [{}, { "content-length": "100" }]) {
      const body = new ReadableStream({ pull: (controller) => controller.error(error) });
      const log = await logged(async () => {
        const init = { method: "POST", body, duplex: "half", headers } as RequestInit;
        const response = await tolokaWebhook(SECRET)(new Request(url, init));
        expect([response.status, await response.json()]).toMatchObject([413, { code: "BODY_TOO_LARGE" }]);
      });
      expect(log).toContain("a limit of its own");
    }
  });
});
