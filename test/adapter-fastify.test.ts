import type http from "node:http";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/fastify";
import fastify, { type FastifyInstance } from "fastify";
import { afterEach, describe, expect, test } from "vitest";
import { ask, genuine, logged, SECRET, statusAndCode, UNAVAILABLE } from "./mounted.js";
import { request } from "./request.js";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
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

  test("app has the decorator once the plugin is registered", async () => {
    const app = await built((app) => app.register(tolokaWebhook, { secret: SECRET }));
    const received: string[] = [];
    app.toloka.on("POOL_CLOSED", (event) => received.push(event.data.close_reason));
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
    expect(received).toEqual(["MANUAL"]);
  });

  test.each<[string, (app: FastifyInstance) => unknown, string]>([
    ["no path", (app) => app.register(tolokaWebhook, { secret: SECRET }), "/toloka-webhook"],
    ["a path", (app) => app.register(tolokaWebhook, { secret: SECRET, path: "/a/b" }), "/a/b"],
    [
      "a prefix",
      (app) => app.register(tolokaWebhook, { secret: SECRET, prefix: "/hooks" }),
      "/hooks/toloka-webhook",
    ],
    [
      "a prefix and the path /",
      (app) => app.register(tolokaWebhook, { secret: SECRET, prefix: "/hooks", path: "/" }),
      "/hooks",
    ],
    [
      "a scope's prefix",
      (app) =>
        app.register(async (scope) => scope.register(tolokaWebhook, { secret: SECRET }), { prefix: "/v1" }),
      "/v1/toloka-webhook",
    ],
  ])("plugin with %s answers at its path, with a query and with a trailing slash", async (_, build, path) => {
    const app = await built(build);
    for (const variant of [path, `${path}/`, `${path}?a=b`]) {
      expect([variant, await post(app, variant)]).toEqual([variant, { status: 200 }]);
    }
    expect((await app.inject({ method: "POST", url: `${path}/x` })).statusCode).toBe(404);
  });

  test("plugin logs both paths once when a delivery comes to a path without a route", async () => {
    const app = await built((app) => app.register(tolokaWebhook, { secret: SECRET, prefix: "/api" }));
    app.post("/own", (_request, reply) => void reply.code(404).send());
    const log = await logged(async () => {
      expect((await app.inject({ url: "/own", ...genuine() })).statusCode).toBe(404);
      expect((await app.inject({ url: "/hooks", method: "POST" })).statusCode).toBe(404);
      for (const _ of [1, 2]) {
        expect((await app.inject({ url: "/hooks?token=x", ...genuine() })).statusCode).toBe(404);
      }
    });
    expect(log.split("\n")).toEqual([
      expect.stringMatching(/NOT_FOUND: .*"\/hooks".*"\/api\/toloka-webhook"/),
    ]);
  });

  test("plugin registers in an app that ignores trailing slashes", async () => {
    const app = fastify({ routerOptions: { ignoreTrailingSlash: true } });
    closing.push(() => app.close());
    await app.register(tolokaWebhook, { secret: SECRET });
    expect(await post(app, "/toloka-webhook/")).toEqual({ status: 200 });
  });

  test.each(["before", "after"])(
    "JSON routes declared %s the plugin keep their own parser",
    async (order) => {
      const own = (app: FastifyInstance) => app.post("/own", async (request) => ({ got: request.body }));
      const app = await built(async (app) => {
        if (order === "before") own(app);
        await app.register(tolokaWebhook, { secret: SECRET });
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

  test("the app's content type parser for every type does not run for the webhook", async () => {
    const app = await built(async (app) => {
      app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) =>
        done(null, JSON.parse(String(body))),
      );
      await app.register(tolokaWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  test("webhook reads the stream that a preParsing hook returns", async () => {
    const { PassThrough } = await import("node:stream");
    const app = await built(async (app) => {
      app.addHook("preParsing", async (_request, _reply, payload) => payload.pipe(new PassThrough()));
      await app.register(tolokaWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  /** As `fastify-raw-body` does: reads the payload beside the parser and keeps it when it ends. */
  const keepAtEnd = (app: FastifyInstance, field: string) => {
    app.addHook("preParsing", (request, _reply, payload, done) => {
      const chunks: Buffer[] = [];
      payload.on("data", (chunk) => chunks.push(chunk));
      payload.on("end", () => Object.assign(request, { [field]: Buffer.concat(chunks) }));
      done(null, payload);
    });
  };

  test.each(["rawBody", "a field of another name"])(
    "webhook reads the bytes beside a preParsing hook that keeps them in %s",
    async (field) => {
      const app = await built(async (app) => {
        keepAtEnd(app, field);
        await app.register(tolokaWebhook, { secret: SECRET });
      });
      expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
    },
  );

  test.each<[string, (bytes: Buffer) => object]>([
    ["rawBody", (rawBody) => ({ rawBody })],
    ["rawBody, with a parsed body", (rawBody) => ({ rawBody, body: JSON.parse(rawBody.toString()) })],
    ["body, as text", (bytes) => ({ body: bytes.toString() })],
  ])("webhook reads the bytes that a serverless host leaves in the Node request's %s", async (_, keep) => {
    const app = await built((app) => app.register(tolokaWebhook, { secret: SECRET }));
    await app.ready();
    const host: http.RequestListener = async (req, res) => {
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      app.server.emit("request", Object.assign(req, keep(Buffer.concat(chunks))), res);
    };
    expect(statusAndCode(await ask(host, genuine()))).toEqual({ status: 200 });
  });

  test.each(["rawBody", "a field of another name"])(
    "webhook reads the bytes when a slow hook runs after the one that keeps them in %s",
    async (field) => {
      const app = await built(async (app) => {
        keepAtEnd(app, field);
        app.addHook("preHandler", () => new Promise<void>((resolve) => setImmediate(resolve)));
        await app.register(tolokaWebhook, { secret: SECRET });
      });
      const origin = await app.listen({ port: 0, host: "127.0.0.1" });
      expect((await request(origin, { ...genuine(), path: "/toloka-webhook" })).status).toBe(200);
    },
  );

  test("webhook answers BODY_UNAVAILABLE at once after a preParsing hook that reads the stream and keeps no bytes", async () => {
    const app = await built(async (app) => {
      app.addHook("preParsing", async (_request, _reply, payload) => {
        for await (const _ of payload);
      });
      await app.register(tolokaWebhook, { secret: SECRET });
    });
    const log = await logged(async () => expect(await post(app, "/toloka-webhook")).toEqual(UNAVAILABLE));
    expect(log).toContain("request.rawBody");
  });

  test("webhooks in separate scopes do not share secrets or listeners", async () => {
    const received: string[] = [];
    const app = await built(async (app) => {
      for (const name of ["one", "two"]) {
        await app.register(async (scope) => {
          await scope.register(tolokaWebhook, { secret: name, path: `/${name}` });
          scope.toloka.on("POOL_CLOSED", () => received.push(name));
        });
      }
    });
    const events = [tolokaEvent("POOL_CLOSED")];
    expect((await post(app, "/one", signToloka({ secret: "two", events }))).status).toBe(401);
    expect((await post(app, "/one", signToloka({ secret: "one", events }))).status).toBe(200);
    expect((await post(app, "/two", signToloka({ secret: "two", events }))).status).toBe(200);
    expect(received).toEqual(["one", "two"]);
  });

  test("the app's serializer does not change the reply", async () => {
    const app = await built(async (app) => {
      app.setReplySerializer(() => "mangled");
      await app.register(tolokaWebhook, { secret: SECRET });
    });
    expect(await post(app, "/toloka-webhook")).toEqual({ status: 200 });
  });

  test("registration fails when it gets a secret and a ready receiver", async () => {
    const receiver = createReceiver(toloka, { secret: SECRET });
    const registered = fastify().register(tolokaWebhook, { receiver, secret: SECRET });
    await expect(Promise.resolve(registered)).rejects.toThrow(/given to createReceiver/);
  });

  test("registration fails without a secret and names the fix", async () => {
    const app = fastify();
    await expect(app.register(tolokaWebhook, { secret: undefined })).rejects.toThrow(/environment variable/);
  });
});
