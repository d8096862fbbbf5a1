import type http from "node:http";
import { tolokaWebhook } from "@crowdhook/koa";
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import Koa from "koa";
import mount from "koa-mount";
import { describe, expect, test } from "vitest";
import { ask, askInTwoPieces, genuine, logged, SECRET, statusAndCode, UNAVAILABLE } from "./mounted.js";

/** koa-body up to version 6 keeps the text of a parsed body so, with `includeUnparsed`. */
const unparsedBody = (text: string) => ({
  body: { ...JSON.parse(text), [Symbol.for("unparsedBody")]: text },
});

describe("Koa", () => {
  const paths: [string, () => Pick<Koa, "use" | "callback">, string][] = [
    ["app.use(webhook)", () => new Koa().use(tolokaWebhook(SECRET)), "/toloka-webhook"],
    ["app.use(webhook) with a path", () => new Koa().use(tolokaWebhook(SECRET, { path: "/a/b" })), "/a/b"],
    [
      "mount(path, webhook)",
      () => new Koa().use(mount("/hooks/toloka", tolokaWebhook(SECRET))),
      "/hooks/toloka",
    ],
    [
      "mount(path, webhook) with a path",
      () => new Koa().use(mount("/hooks", tolokaWebhook(SECRET, { path: "/t" }))),
      "/hooks/t",
    ],
    [
      "router.post(path, webhook)",
      () => new Koa().use(new Router().post("/hooks/toloka", tolokaWebhook(SECRET)).routes()),
      "/hooks/toloka",
    ],
    [
      "a router in a router",
      () => {
        const inner = new Router().post("/:name", tolokaWebhook(SECRET));
        return new Koa().use(new Router().use("/hooks", inner.routes()).routes());
      },
      "/hooks/toloka",
    ],
  ];

  test.each(paths)("%s answers at its path, with a query and with a trailing slash", async (_, app, path) => {
    for (const variant of [path, `${path}/`, `${path}?a=b`]) {
      expect([variant, statusAndCode(await ask(app().callback(), { ...genuine(), path: variant }))]).toEqual([
        variant,
        { status: 200 },
      ]);
    }
  });

  test.each(paths)("%s passes requests for other paths on", async (_, app, path) => {
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

  /** As an agent wraps it: OpenTelemetry's function has no property of the webhook's. */
  const hide =
    (webhook: Koa.Middleware): Koa.Middleware =>
    async (ctx, next) =>
      webhook(ctx, next);
  const wrappers: [string, (webhook: Koa.Middleware) => Koa.Middleware][] = [
    ["a webhook", (webhook) => webhook],
    ["a wrapped webhook", hide],
    ["a bound webhook", (webhook) => webhook.bind(null)],
    [
      "a webhook that an agent wrapped with its properties",
      (webhook) => Object.assign(hide(webhook), webhook),
    ],
  ];

  describe.each(wrappers)("%s", (_, wrap) => {
    const passOn: Koa.Middleware = (_ctx, next) => next();
    const routed = (router: Router): Pick<Koa, "callback" | "use"> => new Koa().use(router.routes());

    test.each<[string, (webhook: Koa.Middleware) => Pick<Koa, "callback">, string]>([
      ["router.post(path)", (webhook) => routed(new Router().post("/hooks", webhook)), "/hooks"],
      ["router.all(path)", (webhook) => routed(new Router().all("/hooks", webhook)), "/hooks"],
      ["router.post(pattern)", (webhook) => routed(new Router().post("/hooks/:name", webhook)), "/hooks/t"],
      [
        "a router with a prefix",
        (webhook) => routed(new Router({ prefix: "/api" }).post("/hooks", webhook)),
        "/api/hooks",
      ],
      [
        "a router in a router",
        (webhook) => routed(new Router().use("/api", new Router().post("/hooks", webhook).routes())),
        "/api/hooks",
      ],
      [
        "router.post(path) after other functions of the router",
        (webhook) => routed(new Router().use(passOn).post("/hooks", passOn, webhook)),
        "/hooks",
      ],
      [
        "router.post(path) after a route of every path",
        (webhook) =>
          routed(new Router().all(/.*/, passOn)).use(new Router().post("/hooks", webhook).routes()),
        "/hooks",
      ],
      ["mount(path)", (webhook) => new Koa().use(mount("/hooks", webhook)), "/hooks"],
    ])("in %s answers a delivery with 200", async (_, mounted, path) => {
      const app = mounted(wrap(tolokaWebhook(SECRET)));
      expect(statusAndCode(await ask(app.callback(), { ...genuine(), path }))).toEqual({ status: 200 });
    });

    test.each<[string, (webhook: Koa.Middleware) => Pick<Koa, "callback" | "use">]>([
      [
        "app.use after a route of this path",
        (webhook) => routed(new Router().all("/own", passOn)).use(webhook),
      ],
      [
        "app.use after a route of every path",
        (webhook) => routed(new Router().all(/.*/, passOn)).use(webhook),
      ],
      ["router.use", (webhook) => routed(new Router().use(webhook).all("/own", passOn))],
      [
        "router.use of a router with a prefix",
        (webhook) => routed(new Router({ prefix: "/own" }).use(webhook).all("/", passOn)),
      ],
    ])("in %s does not answer for other routes", async (_, mounted) => {
      const app = mounted(wrap(tolokaWebhook(SECRET))).use((ctx) => {
        ctx.body = "own";
      });
      for (const method of ["GET", "POST"]) {
        expect((await ask(app.callback(), { method, path: "/own" })).text).toBe("own");
      }
    });
  });

  test("webhook logs both paths once when a delivery comes to another path", async () => {
    const app = new Koa().use(mount("/api", tolokaWebhook(SECRET)));
    const log = await logged(async () => {
      for (const _ of [1, 2]) {
        expect((await ask(app.callback(), { ...genuine(), path: "/api/hooks?token=x" })).status).toBe(404);
      }
    });
    expect(log.split("\n")).toEqual([
      expect.stringMatching(/^crowdhook: toloka: NOT_FOUND: .*"\/api\/hooks".*"\/api\/toloka-webhook"/),
    ]);
  });

  test.each<[string, () => Koa, object]>([
    ["a request without a signature", () => new Koa().use(tolokaWebhook(SECRET)), {}],
    [
      "a delivery that another webhook takes",
      () =>
        new Koa()
          .use(tolokaWebhook(SECRET))
          .use(tolokaWebhook(SECRET, { path: "/hooks", on: { POOL_CLOSED: () => {} } })),
      genuine(),
    ],
  ])("webhook logs nothing when it passes on %s", async (_, app, outgoing) => {
    expect(await logged(() => ask(app().callback(), { ...outgoing, path: "/hooks" }))).toBe("");
  });

  test("webhook in http.createServer answers 500 and logs how to mount it", async () => {
    const listener = tolokaWebhook(SECRET) as unknown as http.RequestListener;
    const log = await logged(async () => expect((await ask(listener, genuine())).status).toBe(500));
    expect(log).toContain("no Koa context");
    expect(log).toContain("@crowdhook/node");
  });

  test("a webhook in router.use does not answer for the router's other routes", async () => {
    const router = new Router().use(tolokaWebhook(SECRET)).post("/own", (ctx) => {
      ctx.body = "own";
    });
    expect((await ask(new Koa().use(router.routes()).callback(), { path: "/own" })).text).toBe("own");
  });

  test("webhook reads the bytes after a body parser that keeps rawBody", async () => {
    const app = new Koa().use(bodyParser()).use(tolokaWebhook(SECRET));
    expect(statusAndCode(await ask(app.callback(), genuine()))).toEqual({ status: 200 });
  });

  test.each<[string, (ctx: Koa.Context, text: string) => unknown]>([
    ["ctx.request.rawBody", (ctx, text) => Object.assign(ctx.request, { rawBody: text })],
    ["ctx.req.rawBody", (ctx, text) => Object.assign(ctx.req, { rawBody: Buffer.from(text) })],
    ["the body as koa-body keeps it", (ctx, text) => Object.assign(ctx.request, unparsedBody(text))],
    ["the request's body as koa-body keeps it", (ctx, text) => Object.assign(ctx.req, unparsedBody(text))],
    ["ctx.request.body, unparsed", (ctx, text) => Object.assign(ctx.request, { body: text })],
    ["ctx.req.body, unparsed", (ctx, text) => Object.assign(ctx.req, { body: Buffer.from(text) })],
  ])("webhook reads the bytes that other code keeps in %s", async (_, keep) => {
    const app = new Koa();
    app.use(async (ctx, next) => {
      const chunks = [];
      for await (const chunk of ctx.req) chunks.push(chunk);
      keep(ctx, Buffer.concat(chunks).toString());
      await next();
    });
    app.use(tolokaWebhook(SECRET));
    expect(statusAndCode(await ask(app.callback(), genuine()))).toEqual({ status: 200 });
  });

  test("webhook waits for text that other code still appends to rawBody", async () => {
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
    app.use(tolokaWebhook(SECRET));
    expect(await askInTwoPieces(app.callback())).toBe(200);
  });

  test.each(["at once", "after a pause"])(
    "webhook reads the bytes when code sets rawBody at the end of the stream and calls next %s",
    async (when) => {
      const app = new Koa();
      app.use(async (ctx, next) => {
        const chunks: Buffer[] = [];
        ctx.req.on("data", (chunk) => chunks.push(chunk));
        ctx.req.on("end", () => Object.assign(ctx.request, { rawBody: Buffer.concat(chunks) }));
        if (when === "after a pause") await new Promise((resolve) => ctx.req.once("data", resolve));
        await next();
      });
      app.use(tolokaWebhook(SECRET));
      expect(await askInTwoPieces(app.callback())).toBe(200);
    },
  );

  test("webhook answers BODY_UNAVAILABLE at once after a body parser that keeps no bytes", async () => {
    const app = new Koa();
    app.use(async (ctx, next) => {
      const chunks = [];
      for await (const chunk of ctx.req) chunks.push(chunk);
      Object.assign(ctx.request, { body: JSON.parse(Buffer.concat(chunks).toString()) });
      await next();
    });
    app.use(tolokaWebhook(SECRET));
    const log = await logged(async () =>
      expect(statusAndCode(await ask(app.callback(), genuine()))).toEqual(UNAVAILABLE),
    );
    expect(log).toContain("ctx.request.rawBody");
  });
});
