import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { tolokaWebhook } from "@crowdhook/express";
import express5 from "express";
import express4 from "express4";
import supertest from "supertest";
import { describe, expect, test } from "vitest";
import { ask, genuine, logged, SECRET, statusAndCode } from "./mounted.js";

describe.each([
  ["Express 5", express5],
  ["Express 4", express4 as unknown as typeof express5],
])("%s", (_, express) => {
  const paths: [string, () => express5.Express, string][] = [
    ["app.use(webhook)", () => express().use(tolokaWebhook(SECRET)), "/toloka-webhook"],
    ["app.use(webhook) with a path", () => express().use(tolokaWebhook(SECRET, { path: "/a/b/" })), "/a/b"],
    ["app.use(path, webhook)", () => express().use("/hooks/toloka", tolokaWebhook(SECRET)), "/hooks/toloka"],
    [
      "app.use(path, webhook) with a path",
      () => express().use("/hooks", tolokaWebhook(SECRET, { path: "/toloka" })),
      "/hooks/toloka",
    ],
    [
      "app.post(path, webhook)",
      () => express().post("/hooks/toloka", tolokaWebhook(SECRET)),
      "/hooks/toloka",
    ],
    [
      "app.all(pattern, webhook)",
      () => express().all("/hooks/:name", tolokaWebhook(SECRET)),
      "/hooks/toloka",
    ],
    [
      "app.post(path, other, webhook)",
      () => express().post("/hooks", (_req, _res, next) => next(), tolokaWebhook(SECRET)),
      "/hooks",
    ],
    [
      "router.use(webhook)",
      () => express().use("/api", express.Router().use(tolokaWebhook(SECRET))),
      "/api/toloka-webhook",
    ],
    [
      "router.post(path, webhook)",
      () => express().use("/api", express.Router().post("/hooks", tolokaWebhook(SECRET))),
      "/api/hooks",
    ],
    [
      "router.use(path, webhook)",
      () => express().use("/api", express.Router().use("/hooks", tolokaWebhook(SECRET))),
      "/api/hooks",
    ],
    ["a sub-app", () => express().use("/api", express().use(tolokaWebhook(SECRET))), "/api/toloka-webhook"],
  ];

  test.each(paths)("%s answers at its path, with a query and with a trailing slash", async (_, app, path) => {
    for (const variant of [path, `${path}/`, `${path}?a=b`, `${path}/?a=b`]) {
      expect([variant, statusAndCode(await ask(app(), { ...genuine(), path: variant }))]).toEqual([
        variant,
        { status: 200 },
      ]);
    }
  });

  test.each(paths)("%s passes requests for other paths on with their bodies unread", async (_, app, path) => {
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
      // A router at /api with a webhook that has no path also answers at /api: see docs/guides/mounting.md.
      if (variant === "/api" && path === "/api/toloka-webhook" && answer.status === 401) continue;
      expect([variant, answer.text]).toEqual([variant, "passed on: abc"]);
    }
  });

  /** Functions around a webhook, as apps and agents make them. */
  const wrappers: [string, (webhook: express5.RequestHandler) => express5.RequestHandler][] = [
    ["a webhook", (webhook) => webhook],
    ["a wrapped webhook", (webhook) => (req, res, next) => webhook(req, res, next)],
    ["a bound webhook", (webhook) => webhook.bind(null)],
    [
      "a webhook that waits for another function",
      (webhook) => async (req, res, next) => {
        await new Promise((resolve) => setImmediate(resolve));
        return webhook(req, res, next);
      },
    ],
    ["a webhook that an agent wrapped with its next", withNext],
    [
      "a webhook that an agent wrapped with its properties",
      (webhook) => Object.assign(withNext(webhook), webhook),
    ],
  ];
  function withNext(webhook: express5.RequestHandler): express5.RequestHandler {
    return (req, res, next) => webhook(req, res, (error?: unknown) => next(error));
  }

  describe.each(wrappers)("%s", (_, wrap) => {
    test.each<[string, (webhook: express5.RequestHandler) => express5.Express, string]>([
      ["app.post(path)", (webhook) => express().post("/hooks", webhook), "/hooks"],
      ["app.all(pattern)", (webhook) => express().all("/:name/t", webhook), "/hooks/t"],
      ["app.route(path)", (webhook) => express().use(express.Router().all("/hooks", webhook)), "/hooks"],
      [
        "router.post(path) after a route that calls next",
        (webhook) => {
          const app = express().all(/.*/, (_req, _res, next) => next());
          return app.use("/api", express.Router().post("/hooks", webhook));
        },
        "/api/hooks",
      ],
      ["app.use(path)", (webhook) => express().use("/hooks", webhook), "/hooks"],
    ])("in %s answers a delivery with 200, and others with 401", async (_, mounted, path) => {
      const app = mounted(wrap(tolokaWebhook(SECRET)));
      expect(statusAndCode(await ask(app, { ...genuine(), path }))).toEqual({ status: 200 });
      expect(statusAndCode(await ask(app, { path }))).toMatchObject({ code: "SIGNATURE_MISSING" });
    });

    test.each<[string, string | RegExp]>([
      ["of this path", "/first"],
      ["of every path", /.*/],
    ])("in app.use does not answer when an earlier route %s calls next", async (_, route) => {
      const app = express();
      app.all(route, (_req, _res, next) => next());
      app.use(wrap(tolokaWebhook(SECRET)));
      app.use((_req, res) => void res.status(418).end());
      // Nothing in a request tells a route of this path from one that an agent hides completely.
      const isHidden = wrap === withNext && route === "/first";
      expect((await ask(app, { path: "/first" })).status).toBe(isHidden ? 401 : 418);
    });
  });

  test("a webhook does not answer at the path of an earlier route that calls next", async () => {
    const app = express();
    app.post("/first", (_req, _res, next) => next());
    app.use(tolokaWebhook(SECRET));
    app.use((_req, res) => void res.status(418).end());
    await logged(async () => expect((await ask(app, { ...genuine(), path: "/first" })).status).toBe(418));
  });

  test("webhook logs both paths once when a delivery comes to another path", async () => {
    const app = express().use("/api", express.Router().use(tolokaWebhook(SECRET)));
    const log = await logged(async () => {
      for (const _ of [1, 2]) {
        expect((await ask(app, { ...genuine(), path: "/api/hooks?token=x" })).status).toBe(404);
      }
    });
    expect(log.split("\n")).toEqual([
      expect.stringMatching(/^crowdhook: toloka: NOT_FOUND: .*"\/api\/hooks".*"\/api\/toloka-webhook"/),
    ]);
  });

  test.each<[string, () => express5.Express, object]>([
    ["a request without a signature", () => express().use(tolokaWebhook(SECRET)), {}],
    [
      "a delivery that another webhook takes",
      () =>
        express().use(
          tolokaWebhook(SECRET),
          tolokaWebhook(SECRET, { path: "/hooks", on: { POOL_CLOSED: () => {} } }),
        ),
      genuine(),
    ],
  ])("webhook logs nothing when it passes on %s", async (_, app, outgoing) => {
    expect(await logged(() => ask(app(), { ...outgoing, path: "/hooks" }))).toBe("");
  });

  test("the app's own JSON routes work beside the webhook", async () => {
    const app = express().use(tolokaWebhook(SECRET), express.json());
    app.post("/own", (req, res) => void res.json({ got: req.body }));
    const own = await supertest(app).post("/own").send({ a: 1 });
    expect(own.body).toEqual({ got: { a: 1 } });
  });

  test("webhooks in one app do not share secrets or listeners", async () => {
    const one = tolokaWebhook("one", { path: "/one" });
    const two = tolokaWebhook("two", { path: "/two" });
    const received: string[] = [];
    one.on("POOL_CLOSED", () => received.push("one"));
    two.on("POOL_CLOSED", () => received.push("two"));
    const app = express().use(one, two);
    const events = [tolokaEvent("POOL_CLOSED")];
    expect((await ask(app, { ...signToloka({ secret: "two", events }), path: "/one" })).status).toBe(401);
    expect((await ask(app, { ...signToloka({ secret: "one", events }), path: "/one" })).status).toBe(200);
    expect((await ask(app, { ...signToloka({ secret: "two", events }), path: "/two" })).status).toBe(200);
    expect(received).toEqual(["one", "two"]);
  });

  test("webhook in http.createServer answers its path, and gives 404 to others", async () => {
    const webhook = tolokaWebhook(SECRET);
    expect(statusAndCode(await ask(webhook, genuine()))).toEqual({ status: 200 });
    expect(statusAndCode(await ask(webhook, { method: "GET", path: "/other" }))).toEqual({
      status: 404,
      code: "NOT_FOUND",
    });
  });

  test("supertest sends the headers and body of signToloka unchanged", async () => {
    const { headers, body } = genuine();
    await supertest(express().use(tolokaWebhook(SECRET)))
      .post("/toloka-webhook")
      .set(headers)
      .send(body)
      .expect(200);
  });
});
