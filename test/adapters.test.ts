import http from "node:http";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook as expressWebhook } from "@crowdhook/express";
import { tolokaWebhook as fastifyWebhook } from "@crowdhook/fastify";
import { tolokaWebhook as fetchWebhook } from "@crowdhook/fetch";
import { tolokaWebhook as koaWebhook } from "@crowdhook/koa";
import { tolokaWebhook as nodeWebhook } from "@crowdhook/node";
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import express5 from "express";
import express4 from "express4";
import fastify, { type FastifyInstance } from "fastify";
import Koa from "koa";
import mount from "koa-mount";
import supertest from "supertest";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type Answer, type Outgoing, request } from "./request.js";
import { listen } from "./targets.js";

const SECRET = "12345";
const genuine = () => signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** Sends one request to a handler that is served for just that. */
async function ask(handler: http.RequestListener, outgoing: Outgoing): Promise<Answer> {
  const server = await listen(handler);
  closing.push(server.close);
  return request(server.origin, outgoing);
}

/** The status that a delivery gets whose body arrives in two pieces. */
function inTwoPieces(origin: string, { method, headers, body }: ReturnType<typeof genuine>) {
  return new Promise<number | undefined>((resolve, reject) => {
    const url = `${origin}/toloka-webhook`;
    const sent = http.request(url, { method, headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("error", reject);
    sent.write(body.slice(0, 20));
    setImmediate(() => sent.end(body.slice(20)));
  });
}

const json = (answer: Pick<Answer, "status" | "text">) => ({
  status: answer.status,
  code: JSON.parse(answer.text).code,
});

const UNAVAILABLE = { status: 500, code: "BODY_UNAVAILABLE" };

/** What the operator is told, while `run` runs. */
async function logged(run: () => Promise<unknown>): Promise<string> {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  await run();
  return log.mock.calls.join("\n");
}

describe.each([
  ["Express 5", express5],
  ["Express 4", express4 as unknown as typeof express5],
])("%s", (_, express) => {
  const keepBytes = (req: http.IncomingMessage, _res: unknown, bytes: Buffer) => {
    Object.assign(req, { rawBody: bytes });
  };
  const keepText = (req: http.IncomingMessage, _res: unknown, bytes: Buffer) => {
    Object.assign(req, { rawBody: bytes.toString() });
  };
  const paths: [string, () => express5.Express, string][] = [
    ["app.use(webhook)", () => express().use(expressWebhook(SECRET)), "/toloka-webhook"],
    ["app.use(webhook) with a path", () => express().use(expressWebhook(SECRET, { path: "/a/b/" })), "/a/b"],
    ["app.use(path, webhook)", () => express().use("/hooks/toloka", expressWebhook(SECRET)), "/hooks/toloka"],
    [
      "app.use(path, webhook) with a path",
      () => express().use("/hooks", expressWebhook(SECRET, { path: "/toloka" })),
      "/hooks/toloka",
    ],
    [
      "app.post(path, webhook)",
      () => express().post("/hooks/toloka", expressWebhook(SECRET)),
      "/hooks/toloka",
    ],
    [
      "app.all(pattern, webhook)",
      () => express().all("/hooks/:name", expressWebhook(SECRET)),
      "/hooks/toloka",
    ],
    [
      "app.post(path, other, webhook)",
      () => express().post("/hooks", (_req, _res, next) => next(), expressWebhook(SECRET)),
      "/hooks",
    ],
    [
      "router.use(webhook)",
      () => express().use("/api", express.Router().use(expressWebhook(SECRET))),
      "/api/toloka-webhook",
    ],
    [
      "router.post(path, webhook)",
      () => express().use("/api", express.Router().post("/hooks", expressWebhook(SECRET))),
      "/api/hooks",
    ],
    [
      "router.use(path, webhook)",
      () => express().use("/api", express.Router().use("/hooks", expressWebhook(SECRET))),
      "/api/hooks",
    ],
    ["a sub-app", () => express().use("/api", express().use(expressWebhook(SECRET))), "/api/toloka-webhook"],
  ];

  test.each(paths)("%s answers at its path, with a query and with a trailing slash", async (_, app, path) => {
    for (const variant of [path, `${path}/`, `${path}?a=b`, `${path}/?a=b`]) {
      expect([variant, json(await ask(app(), { ...genuine(), path: variant }))]).toEqual([
        variant,
        { status: 200 },
      ]);
    }
  });

  test.each(paths)("%s passes every other path on, its body unread", async (_, app, path) => {
    const echo = app().use(
      express.text({ type: "*/*" }),
      (req, res) => void res.send(`passed on: ${req.body}`),
    );
    for (const variant of ["/", "/other", "/api", `${path}x`, `/x${path}`]) {
      if (path.startsWith("/hooks") && variant === `${path}x`) continue;
      const answer = await ask(echo, {
        path: variant,
        body: "abc",
        headers: { "content-type": "text/plain" },
      });
      // A router that is mounted at /api and has a bare webhook answers there as well: see docs/adapters.md.
      if (variant === "/api" && path === "/api/toloka-webhook" && answer.status === 401) continue;
      expect([variant, answer.text]).toEqual([variant, "passed on: abc"]);
    }
  });

  test("a route that passes on does not lend its path to a webhook that comes after it", async () => {
    const app = express();
    app.post("/first", (_req, _res, next) => next());
    app.use(expressWebhook(SECRET));
    app.use((_req, res) => void res.status(418).end());
    expect((await ask(app, { ...genuine(), path: "/first" })).status).toBe(418);
  });

  test.each<[string, () => express5.RequestHandler]>([
    ["express.raw()", () => express.raw({ type: "*/*" })],
    ["express.text()", () => express.text({ type: "*/*" })],
    ["express.json() that keeps the bytes in rawBody", () => express.json({ verify: keepBytes })],
    ["express.json() that keeps the text in rawBody", () => express.json({ verify: keepText })],
    ["express.json() for other types", () => express.json({ type: "application/vnd.api+json" })],
    [
      "a host that leaves rawBody and a parsed body",
      () => async (req, _res, next) => {
        const chunks = [];
        for await (const chunk of req) chunks.push(chunk);
        const rawBody = Buffer.concat(chunks);
        Object.assign(req, { rawBody, body: JSON.parse(rawBody.toString()) });
        next();
      },
    ],
    [
      "a listener that gathers rawBody as it comes in",
      () => (req, _res, next) => {
        const gathered = Object.assign(req, { rawBody: "" });
        req.on("data", (chunk) => {
          gathered.rawBody += chunk;
        });
        next();
      },
    ],
    [
      "something that paused the request",
      () => (req, _res, next) => {
        req.pause();
        next();
      },
    ],
    [
      "writeHead was wrapped without giving back the response",
      () => (_req, res, next) => {
        const { writeHead } = res;
        Object.assign(res, {
          writeHead(...args: Parameters<typeof writeHead>) {
            writeHead.apply(this, args);
          },
        });
        next();
      },
    ],
    [
      "a getter that parses the body, and throws",
      () => (req, _res, next) => {
        Object.defineProperty(req, "body", {
          get() {
            throw new Error("not JSON");
          },
        });
        next();
      },
    ],
  ])("after %s the bytes are still there", async (_, before) => {
    const app = express().use(before(), expressWebhook(SECRET));
    expect(json(await ask(app, genuine()))).toEqual({ status: 200 });
  });

  test("after a bare express.json() the answer is BODY_UNAVAILABLE at once, and a log line tells the fix", async () => {
    const heard = vi.fn();
    const webhook = expressWebhook(SECRET, { on: { POOL_CLOSED: heard } });
    const app = express().use(express.json(), webhook);
    const log = await logged(async () => expect(json(await ask(app, genuine()))).toEqual(UNAVAILABLE));
    expect(log).toContain("before app.use(express.json())");
    expect(log).toContain("req.rawBody = bytes");
    expect(heard).not.toHaveBeenCalled();
  });

  test("text that is still being gathered in rawBody is waited for", async () => {
    const app = express().use((req, _res, next) => {
      const gathered = Object.assign(req, { rawBody: "" });
      req.setEncoding("utf8");
      req.on("data", (chunk) => {
        gathered.rawBody += chunk;
        if (gathered.rawBody.length === chunk.length) next();
      });
    }, expressWebhook(SECRET));
    const { origin, close } = await listen(app);
    closing.push(close);
    expect(await inTwoPieces(origin, genuine())).toBe(200);
  });

  test.each<[string, (req: http.IncomingMessage) => unknown]>([
    ["someone reads by read()", (req) => req.on("readable", () => {})],
    ["the bytes are made into other text than UTF-8", (req) => req.setEncoding("latin1")],
  ])("where %s the answer is BODY_UNAVAILABLE, not a wait", async (_, before) => {
    const app = express().use((req, _res, next) => {
      before(req);
      next();
    }, expressWebhook(SECRET));
    await logged(async () => expect(json(await ask(app, genuine()))).toEqual(UNAVAILABLE));
  });

  test("while something else is reading the stream the answer is BODY_UNAVAILABLE, not a wait", async () => {
    const app = express().use((req, _res, next) => {
      req.once("data", () => {
        req.pause();
        next();
      });
    }, expressWebhook(SECRET));
    await logged(async () => expect(json(await ask(app, genuine()))).toEqual(UNAVAILABLE));
  });

  test("the app's own JSON routes keep working beside it", async () => {
    const app = express().use(expressWebhook(SECRET), express.json());
    app.post("/own", (req, res) => void res.json({ got: req.body }));
    const own = await supertest(app).post("/own").send({ a: 1 });
    expect(own.body).toEqual({ got: { a: 1 } });
  });

  test("several webhooks in one app keep their secrets and listeners apart", async () => {
    const one = expressWebhook("one", { path: "/one" });
    const two = expressWebhook("two", { path: "/two" });
    const heard: string[] = [];
    one.on("POOL_CLOSED", () => heard.push("one"));
    two.on("POOL_CLOSED", () => heard.push("two"));
    const app = express().use(one, two);
    const events = [tolokaEvent("POOL_CLOSED")];
    expect((await ask(app, { ...signToloka({ secret: "two", events }), path: "/one" })).status).toBe(401);
    expect((await ask(app, { ...signToloka({ secret: "one", events }), path: "/one" })).status).toBe(200);
    expect((await ask(app, { ...signToloka({ secret: "two", events }), path: "/two" })).status).toBe(200);
    expect(heard).toEqual(["one", "two"]);
  });

  test("what signToloka makes goes through supertest as it is", async () => {
    const { headers, body } = genuine();
    await supertest(express().use(expressWebhook(SECRET)))
      .post("/toloka-webhook")
      .set(headers)
      .send(body)
      .expect(200);
  });
});

describe("Koa", () => {
  const paths: [string, () => Pick<Koa, "use" | "callback">, string][] = [
    ["app.use(webhook)", () => new Koa().use(koaWebhook(SECRET)), "/toloka-webhook"],
    ["app.use(webhook) with a path", () => new Koa().use(koaWebhook(SECRET, { path: "/a/b" })), "/a/b"],
    [
      "mount(path, webhook)",
      () => new Koa().use(mount("/hooks/toloka", koaWebhook(SECRET))),
      "/hooks/toloka",
    ],
    [
      "mount(path, webhook) with a path",
      () => new Koa().use(mount("/hooks", koaWebhook(SECRET, { path: "/t" }))),
      "/hooks/t",
    ],
    [
      "router.post(path, webhook)",
      () => new Koa().use(new Router().post("/hooks/toloka", koaWebhook(SECRET)).routes()),
      "/hooks/toloka",
    ],
    [
      "a router in a router",
      () => {
        const inner = new Router().post("/:name", koaWebhook(SECRET));
        return new Koa().use(new Router().use("/hooks", inner.routes()).routes());
      },
      "/hooks/toloka",
    ],
  ];

  test.each(paths)("%s answers at its path, with a query and with a trailing slash", async (_, app, path) => {
    for (const variant of [path, `${path}/`, `${path}?a=b`]) {
      expect([variant, json(await ask(app().callback(), { ...genuine(), path: variant }))]).toEqual([
        variant,
        { status: 200 },
      ]);
    }
  });

  test.each(paths)("%s passes every other path on", async (_, app, path) => {
    const echo = app().use(bodyParser({ enableTypes: ["text"] }));
    echo.use((ctx) => {
      ctx.body = `passed on: ${ctx.request.body}`;
    });
    for (const variant of ["/", "/other", `/x${path}`]) {
      const answer = await ask(echo.callback(), {
        path: variant,
        body: "abc",
        headers: { "content-type": "text/plain" },
      });
      expect([variant, answer.text]).toEqual([variant, "passed on: abc"]);
    }
  });

  test("a webhook in router.use leaves the router's other routes alone", async () => {
    const router = new Router().use(koaWebhook(SECRET)).post("/own", (ctx) => {
      ctx.body = "own";
    });
    expect((await ask(new Koa().use(router.routes()).callback(), { path: "/own" })).text).toBe("own");
  });

  test("after a body parser that keeps rawBody the bytes are still there", async () => {
    const app = new Koa().use(bodyParser()).use(koaWebhook(SECRET));
    expect(json(await ask(app.callback(), genuine()))).toEqual({ status: 200 });
  });

  test("text that is still being gathered in rawBody is waited for", async () => {
    const app = new Koa();
    app.use(async (ctx, next) => {
      const gathered = Object.assign(ctx.req, { rawBody: "" });
      gathered.setEncoding("utf8");
      await new Promise<void>((resolve) => {
        gathered.on("data", (chunk) => {
          gathered.rawBody += chunk;
          resolve();
        });
      });
      await next();
    });
    app.use(koaWebhook(SECRET));
    const { origin, close } = await listen(app.callback());
    closing.push(close);
    expect(await inTwoPieces(origin, genuine())).toBe(200);
  });

  test("after a body parser that keeps nothing the answer is BODY_UNAVAILABLE at once", async () => {
    const app = new Koa();
    app.use(async (ctx, next) => {
      const chunks = [];
      for await (const chunk of ctx.req) chunks.push(chunk);
      Object.assign(ctx.request, { body: JSON.parse(Buffer.concat(chunks).toString()) });
      await next();
    });
    app.use(koaWebhook(SECRET));
    const log = await logged(async () =>
      expect(json(await ask(app.callback(), genuine()))).toEqual(UNAVAILABLE),
    );
    expect(log).toContain("ctx.request.rawBody");
  });
});

describe("Fastify", () => {
  async function built(build: (app: FastifyInstance) => unknown): Promise<FastifyInstance> {
    const app = fastify();
    closing.push(() => app.close());
    await build(app);
    return app;
  }
  const post = async (app: FastifyInstance, url: string, delivery = genuine()) => {
    const response = await app.inject({ url, ...delivery });
    return { status: response.statusCode, code: response.json().code };
  };

  test("the decorator is there as soon as the plugin is registered", async () => {
    const app = await built((app) => app.register(fastifyWebhook, { secret: SECRET }));
    const heard: string[] = [];
    app.toloka.on("POOL_CLOSED", (event) => heard.push(event.data.close_reason));
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
    expect(heard).toEqual(["MANUAL"]);
  });

  test.each<[string, (app: FastifyInstance) => unknown, string]>([
    ["no path", (app) => app.register(fastifyWebhook, { secret: SECRET }), "/toloka-webhook"],
    ["a path", (app) => app.register(fastifyWebhook, { secret: SECRET, path: "/a/b" }), "/a/b"],
    [
      "a prefix",
      (app) => app.register(fastifyWebhook, { secret: SECRET, prefix: "/hooks" }),
      "/hooks/toloka-webhook",
    ],
    [
      "a prefix and the path /",
      (app) => app.register(fastifyWebhook, { secret: SECRET, prefix: "/hooks", path: "/" }),
      "/hooks",
    ],
    [
      "a scope's prefix",
      (app) =>
        app.register(async (scope) => scope.register(fastifyWebhook, { secret: SECRET }), { prefix: "/v1" }),
      "/v1/toloka-webhook",
    ],
  ])("with %s it answers at its path, with a query and with a trailing slash", async (_, build, path) => {
    const app = await built(build);
    for (const variant of [path, `${path}/`, `${path}?a=b`]) {
      expect([variant, await post(app, variant)]).toEqual([variant, { status: 200 }]);
    }
    expect((await app.inject({ method: "POST", url: `${path}/x` })).statusCode).toBe(404);
  });

  test("it can be mounted in an app that ignores trailing slashes", async () => {
    const app = fastify({ routerOptions: { ignoreTrailingSlash: true } });
    closing.push(() => app.close());
    await app.register(fastifyWebhook, { secret: SECRET });
    expect(await post(app, "/toloka-webhook/")).toEqual({ status: 200 });
  });

  test.each(["before", "after"])(
    "JSON routes declared %s the plugin keep their own parser",
    async (order) => {
      const own = (app: FastifyInstance) => app.post("/own", async (request) => ({ got: request.body }));
      const app = await built(async (app) => {
        if (order === "before") own(app);
        await app.register(fastifyWebhook, { secret: SECRET });
        if (order === "after") own(app);
      });
      const response = await app.inject({ method: "POST", url: "/own", payload: { a: 1 } });
      expect(response.json()).toEqual({ got: { a: 1 } });
      const refused = await app.inject({
        method: "POST",
        url: "/own",
        payload: "x",
        headers: { "content-type": "a/b" },
      });
      expect(refused.statusCode).toBe(415);
      expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
    },
  );

  test("the app's own parsers for all types do not reach the webhook", async () => {
    const app = await built(async (app) => {
      app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) =>
        done(null, JSON.parse(String(body))),
      );
      await app.register(fastifyWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  test("a preParsing hook that hands a stream on does no harm", async () => {
    const { PassThrough } = await import("node:stream");
    const app = await built(async (app) => {
      app.addHook("preParsing", async (_request, _reply, payload) => payload.pipe(new PassThrough()));
      await app.register(fastifyWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  test("a preParsing hook that reads the stream and keeps nothing: BODY_UNAVAILABLE at once", async () => {
    const app = await built(async (app) => {
      app.addHook("preParsing", async (_request, _reply, payload) => {
        for await (const _ of payload);
      });
      await app.register(fastifyWebhook, { secret: SECRET });
    });
    const log = await logged(async () => expect(await post(app, "/toloka-webhook")).toEqual(UNAVAILABLE));
    expect(log).toContain("request.rawBody");
  });

  test("webhooks in scopes of their own keep their secrets and listeners apart", async () => {
    const heard: string[] = [];
    const app = await built(async (app) => {
      for (const name of ["one", "two"]) {
        await app.register(async (scope) => {
          await scope.register(fastifyWebhook, { secret: name, path: `/${name}` });
          scope.toloka.on("POOL_CLOSED", () => heard.push(name));
        });
      }
    });
    const events = [tolokaEvent("POOL_CLOSED")];
    expect((await post(app, "/one", signToloka({ secret: "two", events }))).status).toBe(401);
    expect((await post(app, "/one", signToloka({ secret: "one", events }))).status).toBe(200);
    expect((await post(app, "/two", signToloka({ secret: "two", events }))).status).toBe(200);
    expect(heard).toEqual(["one", "two"]);
  });

  test("a serializer of the app's own leaves the reply alone", async () => {
    const app = await built(async (app) => {
      app.setReplySerializer(() => "mangled");
      await app.register(fastifyWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  test("a secret beside a ready receiver fails the registration", async () => {
    const receiver = createReceiver(toloka, { secret: SECRET });
    const registered = fastify().register(fastifyWebhook, { receiver, secret: SECRET });
    await expect(Promise.resolve(registered)).rejects.toThrow(/given to createReceiver/);
  });

  test("options that cannot work fail the registration and name the fix", async () => {
    const app = fastify();
    await expect(app.register(fastifyWebhook, { secret: undefined })).rejects.toThrow(/environment variable/);
  });
});

describe("fetch", () => {
  const url = "http://localhost/any/path?a=b";

  test("the host routes: without a path every URL is answered", async () => {
    const POST = fetchWebhook(SECRET, { on: { POOL_CLOSED: () => {} } });
    expect((await POST(new Request(url, genuine()))).status).toBe(200);
  });

  test("with a path other URLs get 404", async () => {
    const POST = fetchWebhook(SECRET, { path: "/any/path" });
    expect((await POST(new Request(url, genuine()))).status).toBe(200);
    expect((await POST(new Request("http://localhost/other", genuine()))).status).toBe(404);
  });

  /** As a server hands it over: one whose length is known is read another way. */
  const withLength = (init: RequestInit & { readonly headers: Record<string, string> }, length: number) => ({
    ...init,
    headers: { ...init.headers, "content-length": `${length}` },
  });
  const sized = () => {
    const delivery = genuine();
    return withLength(delivery, Buffer.byteLength(delivery.body));
  };

  test("a body whose length is known is as good as one whose length is not", async () => {
    const POST = fetchWebhook(SECRET, { on: { POOL_CLOSED: () => {} } });
    const response = await POST(new Request(url, sized()));
    expect([response.status, await response.json()]).toMatchObject([200, { handled: 1 }]);
  });

  test.each<[string, () => RequestInit, (request: Request) => unknown]>([
    ["was used", genuine, (request) => request.json()],
    ["is being read", genuine, (request) => request.body?.getReader()],
    ["of known length was used", sized, (request) => request.json()],
    ["of known length is being read", sized, (request) => request.body?.getReader()],
  ])("a request whose body %s gets BODY_UNAVAILABLE at once", async (_, init, before) => {
    const POST = fetchWebhook(SECRET);
    const request = new Request(url, init());
    await before(request);
    const log = await logged(async () => {
      const response = await POST(request);
      expect(json({ status: response.status, text: await response.text() })).toEqual(UNAVAILABLE);
    });
    expect(log).toContain("clone");
  });

  test("a host that can wait is told to, until the response is there", async () => {
    const POST = fetchWebhook(SECRET);
    const waited: Promise<unknown>[] = [];
    // As a Worker's handler is called: with its bindings, and with its context.
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

  test.each([undefined, null, "x", { params: {} }])(
    "a host that hands over %o is no hindrance",
    async (host) => {
      expect((await fetchWebhook(SECRET)(new Request(url, genuine()), host)).status).toBe(200);
    },
  );

  test("a clone of a request is as good as the request", async () => {
    const POST = fetchWebhook(SECRET);
    const request = new Request(url, genuine());
    const clone = request.clone();
    await request.json();
    expect((await POST(clone)).status).toBe(200);
  });

  test.each([
    ["of unknown length", genuine],
    ["of known length", sized],
  ])("a request %s can be cloned as soon as the webhook was called", async (_, init) => {
    const POST = fetchWebhook(SECRET);
    const request = new Request(url, init());
    const response = POST(request);
    expect(await request.clone().json()).toHaveProperty("events");
    expect((await response).status).toBe(200);
  });

  test.each(["", "-1", "0x10", "1e1", "5, 5"])(
    "a Content-Length of %j is not believed: the body is kept no further than the limit",
    async (length) => {
      const POST = fetchWebhook(SECRET, { maxBodySize: 10 });
      const arrayBuffer = vi.spyOn(Request.prototype, "arrayBuffer");
      const request = new Request(url, withLength(genuine(), 0));
      request.headers.set("content-length", length);
      expect((await POST(request)).status).toBe(413);
      expect(arrayBuffer).not.toHaveBeenCalled();
      arrayBuffer.mockRestore();
    },
  );

  test("a Content-Length beside a Transfer-Encoding is not believed", async () => {
    const POST = fetchWebhook(SECRET, { maxBodySize: 10 });
    const request = new Request(url, withLength(genuine(), 5));
    request.headers.set("transfer-encoding", "chunked");
    const arrayBuffer = vi.spyOn(request, "arrayBuffer");
    expect((await POST(request)).status).toBe(413);
    expect(arrayBuffer).not.toHaveBeenCalled();
  });

  test("a stream beyond the limit gets 413 whatever its Content-Length says", async () => {
    const POST = fetchWebhook(SECRET, { maxBodySize: 10 });
    const body = new Blob(["x".repeat(100)]).stream();
    const init = { method: "POST", body, duplex: "half", headers: { "content-length": "5" } } as RequestInit;
    expect((await POST(new Request(url, init))).status).toBe(413);
  });

  test.each<[string, Record<string, string>]>([
    ["of unknown length", {}],
    ["of known length", { "content-length": "100" }],
  ])("a stream %s that fails gets BODY_ABORTED", async (_, headers) => {
    const POST = fetchWebhook(SECRET);
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    const init = { method: "POST", body, duplex: "half", headers } as RequestInit;
    const response = await POST(new Request(url, init));
    expect(json({ status: response.status, text: await response.text() })).toEqual({
      status: 400,
      code: "BODY_ABORTED",
    });
  });
});

describe("node:http", () => {
  test("an absolute URL in the request line is matched by its path", async () => {
    const { origin, close } = await listen(nodeWebhook(SECRET));
    closing.push(close);
    const { headers, body } = genuine();
    const answer = await new Promise<number | undefined>((resolve) => {
      const sent = http.request(
        origin,
        { method: "POST", path: `${origin}/toloka-webhook`, headers },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      sent.end(body);
    });
    expect(answer).toBe(200);
  });

  test("a response that something else has sent is left alone", async () => {
    const webhook = nodeWebhook(SECRET);
    const answer = await ask((request, response) => {
      response.writeHead(202).end("taken");
      void webhook(request, response);
    }, genuine());
    expect([answer.status, answer.text]).toEqual([202, "taken"]);
  });
});

describe.each([
  ["express", expressWebhook],
  ["koa", koaWebhook],
  ["node", nodeWebhook],
  ["fetch", fetchWebhook],
])("%s: arguments", (_, tolokaWebhook) => {
  test("a ready receiver is mounted as it is", () => {
    const receiver = createReceiver(toloka, { secret: SECRET });
    expect(tolokaWebhook(receiver, { path: "/hooks" }).receiver).toBe(receiver);
  });

  test.each<[string, () => unknown, RegExp]>([
    ["no secret", () => tolokaWebhook(undefined), /environment variable.*unsigned: true/],
    [
      "a webhook in place of its receiver",
      () => tolokaWebhook(expressWebhook(SECRET) as unknown as string),
      /webhook already.*webhook\.receiver/,
    ],
    ["an empty secret", () => tolokaWebhook(""), /empty.*unsigned: true/],
    ["an empty list", () => tolokaWebhook([]), /list of secrets is empty/],
    ["a list with an empty secret", () => tolokaWebhook(["a", ""]), /empty/],
    ["a secret with a line break", () => tolokaWebhook("12345\n"), /white space/],
    [
      "a secret that is a number",
      () => tolokaWebhook(12345 as unknown as string),
      /must be a string, not number/,
    ],
    ["a secret and unsigned", () => tolokaWebhook("12345", { unsigned: true }), /one of the two/],
    ["a path without a slash", () => tolokaWebhook("a", { path: "hooks" }), /begin with "\/".*"hooks"/],
    ["a path with a query", () => tolokaWebhook("a", { path: "/hooks?a" }), /no query/],
    ["a tolerance that is no number", () => tolokaWebhook("a", { tolerance: Number.NaN }), /tolerance.*NaN/],
    [
      "a tolerance that is text",
      () => tolokaWebhook("a", { tolerance: "5" as unknown as number }),
      /tolerance.*"5"/,
    ],
    ["a negative tolerance", () => tolokaWebhook("a", { tolerance: -1 }), /tolerance.*-1/],
    [
      "an endless tolerance",
      () => tolokaWebhook("a", { tolerance: Number.POSITIVE_INFINITY }),
      /tolerance.*finite/,
    ],
    ["a limit of 0", () => tolokaWebhook("a", { maxBodySize: 0 }), /maxBodySize.*0/],
    [
      "a clock that is no function",
      () => tolokaWebhook("a", { clock: 5 as unknown as () => number }),
      /clock/,
    ],
    [
      "a listener for no type",
      () => tolokaWebhook("a", { on: { POOL_CLOSE: () => {} } as object }),
      /no event type "POOL_CLOSE"/,
    ],
    [
      "a listener that is none",
      () => tolokaWebhook("a", { on: { POOL_CLOSED: 5 } as object }),
      /must be a function/,
    ],
    [
      "receiver options with a ready receiver",
      () => tolokaWebhook(createReceiver(toloka, { secret: "a" }), { tolerance: 5 }),
      /tolerance must be given to createReceiver/,
    ],
  ])("%s throws at construction and says so", (_, construct, message) => {
    expect(construct).toThrow(TypeError);
    expect(construct).toThrow(message);
    expect(construct).not.toThrow(/12345/);
  });
});
