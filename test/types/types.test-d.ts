import { createServer, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import {
  createReceiver,
  type DeliveryRecord,
  type ErrorCode,
  type ListenerContext,
  type ReceivedEvent,
  type Receiver,
  type UnrecognizedEvent,
} from "@crowdhook/core";
import type { Webhook } from "@crowdhook/core/adapter";
import type { ProlificEvents } from "@crowdhook/core/prolific";
import { ASSIGNMENT_EVENT_TYPES, type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import * as expressAdapter from "@crowdhook/express";
import * as fastifyAdapter from "@crowdhook/fastify";
import * as fetchAdapter from "@crowdhook/fetch";
import * as koaAdapter from "@crowdhook/koa";
import * as nodeAdapter from "@crowdhook/node";
import Router from "@koa/router";
import express from "express";
import fastify, { type FastifyPluginAsync } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expectTypeOf, test } from "vitest";
import { type ToyEvents, toy } from "../toy-provider.js";

const { tolokaWebhook: expressWebhook } = expressAdapter;
const { tolokaWebhook: fastifyWebhook } = fastifyAdapter;
const { tolokaWebhook: fetchWebhook } = fetchAdapter;
const { tolokaWebhook: koaWebhook } = koaAdapter;
const { tolokaWebhook: nodeWebhook } = nodeAdapter;

const receiver = createReceiver(toloka, { secret: "s" });

describe("listeners", () => {
  test("get the event of their type", () => {
    expectTypeOf(receiver).toEqualTypeOf<Receiver<TolokaEvents>>();
    receiver.on("POOL_CLOSED", (event, context) => {
      expectTypeOf(event).not.toBeAny();
      expectTypeOf(event.type).toEqualTypeOf<"POOL_CLOSED">();
      expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
      expectTypeOf(event.data.webhook_subscription_id).toEqualTypeOf<string>();
      // @ts-expect-error not documented
      event.data.added_later;
      expectTypeOf(event.occurredAt).toEqualTypeOf<Date>();
      expectTypeOf(context).toEqualTypeOf<ListenerContext>();
      expectTypeOf(context.delivery.body).toEqualTypeOf<Uint8Array>();
      expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
    });
    receiver.on("DYNAMIC_OVERLAP_COMPLETED", ({ data }) => {
      expectTypeOf(data.confidence).toEqualTypeOf<number>();
      expectTypeOf(data.assignment_ids).toEqualTypeOf<string[] | null | undefined>();
      expectTypeOf(data.output_values).toEqualTypeOf<Record<string, unknown> | Record<string, unknown>[]>();
    });
  });

  test("get the union for a list of types", () => {
    receiver.on(ASSIGNMENT_EVENT_TYPES, (event) => {
      expectTypeOf(event.type).toEqualTypeOf<(typeof ASSIGNMENT_EVENT_TYPES)[number]>();
      expectTypeOf(event.data.assignment_id).toEqualTypeOf<string>();
    });
    receiver.on(["POOL_CLOSED", "TEST_EVENT"], (event) => {
      expectTypeOf(event.type).toEqualTypeOf<"POOL_CLOSED" | "TEST_EVENT">();
      if (event.type === "POOL_CLOSED") expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
    });
  });

  test("are refused for types that do not exist", () => {
    // @ts-expect-error: no such type
    receiver.on("POOL_CLOSE", () => {});
    // @ts-expect-error: one of the types does not exist
    receiver.on(["POOL_CLOSED", "POOL_CLOSE"], () => {});
    // @ts-expect-error: no such type
    expressWebhook("s", { on: { POOL_CLOSE: () => {} } });
  });

  test("of onAny tell known events from unrecognized ones by problems", () => {
    receiver.onAny((event) => {
      if (event.problems) {
        expectTypeOf(event).toEqualTypeOf<UnrecognizedEvent>();
      } else if (event.type === "POOL_CLOSED") {
        expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
      }
    });
    receiver.onUnrecognized((event) => expectTypeOf(event).toEqualTypeOf<UnrecognizedEvent>());
    receiver.onError((error, event) => {
      expectTypeOf(error).toEqualTypeOf<unknown>();
      expectTypeOf(event.id).toEqualTypeOf<string>();
    });
  });

  test("are removed by the function that on… returns", () => {
    expectTypeOf(receiver.on("TEST_EVENT", () => {})).toEqualTypeOf<() => void>();
  });
});

describe("adapters", () => {
  const secret = process.env.TOLOKA_SECRET;

  test("take an environment variable as the secret, and mount without a cast", async () => {
    const app = express();
    const webhook = expressWebhook(secret);
    app.use(webhook);
    app.use("/hooks", webhook);
    app.post("/hooks", webhook);
    express.Router().post("/hooks", webhook).use(webhook);

    new Koa().use(koaWebhook(secret));
    new Router().post("/hooks", koaWebhook(secret));
    createServer(nodeWebhook(secret));
    const POST = fetchWebhook(secret);
    expectTypeOf(POST).toBeCallableWith(new Request("http://localhost"));
    expectTypeOf(POST).toBeCallableWith({ request: new Request("http://localhost"), params: {} });
    expectTypeOf(POST).toBeCallableWith({ req: new Request("http://localhost") });
    // Next.js takes the type of the argument in this way, and accepts no other than a Request.
    type FirstOf<Handler> = Handler extends (...args: [infer First, never]) => unknown ? First : never;
    expectTypeOf<FirstOf<typeof POST>>().toEqualTypeOf<Request>();
    // @ts-expect-error A Hono context is not a Request.
    new Hono().post("/hooks", POST);
    expectTypeOf(POST).returns.resolves.toEqualTypeOf<Response>();
    new Hono().post("/hooks", (c) => POST(c.req.raw));
  });

  test("carry the same typed listeners and the receiver", () => {
    for (const webhook of [expressWebhook("s"), koaWebhook("s"), nodeWebhook("s"), fetchWebhook("s")]) {
      webhook.on("POOL_CLOSED", (event) => expectTypeOf(event.data.close_reason).toEqualTypeOf<string>());
      expectTypeOf(webhook.receiver).toEqualTypeOf<Receiver<TolokaEvents>>();
    }
    const app = fastify();
    app.register(fastifyWebhook, {
      secret,
      prefix: "/hooks",
      on: { TEST_EVENT: (event) => event.data.uuid },
    });
    app.register(fastifyWebhook, { receiver, path: "/hooks" });
    expectTypeOf(app.toloka).toEqualTypeOf<Webhook<TolokaEvents>>();
  });

  test("infer the events of a map of listeners", () => {
    fetchWebhook(["old", "new"], {
      on: {
        POOL_CLOSED: (event, { signal }) => {
          expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
          expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        },
        ASSIGNMENT_SUBMITTED: async (event) => expectTypeOf(event.data.assignment_id).toEqualTypeOf<string>(),
      },
    });
  });

  test("take a function of the delivery, or a ready receiver", () => {
    nodeWebhook(async (delivery) => [delivery.headers.get("x-tenant") ?? "none"]);
    nodeWebhook(receiver, { path: "/hooks/toloka" });
    // @ts-expect-error: a number is not a secret
    nodeWebhook(12345);
  });
});

describe("webhook of an adapter", () => {
  test("types its events by the provider", () => {
    for (const webhook of [
      nodeAdapter.webhook(toy, "s"),
      expressAdapter.webhook(toy, ["old", "new"], { path: "/toy" }),
      koaAdapter.webhook(toy, async () => "s"),
      fetchAdapter.webhook(toy, createReceiver(toy, { secret: "s" })),
    ]) {
      expectTypeOf(webhook.receiver).toEqualTypeOf<Receiver<ToyEvents>>();
      webhook.on("toy.sold", ({ type, data }) => {
        expectTypeOf(type).toEqualTypeOf<"toy.sold">();
        expectTypeOf(data.price).toEqualTypeOf<number>();
      });
      // @ts-expect-error: a type of another provider
      webhook.on("POOL_CLOSED", () => {});
    }
    // @ts-expect-error: a receiver of another provider
    nodeAdapter.webhook(toy, receiver);
  });

  test("mounts without a cast", () => {
    createServer(nodeAdapter.webhook(toy, "s"));
    express().use(expressAdapter.webhook(toy, "s"));
    new Koa().use(koaAdapter.webhook(toy, "s"));
    const POST = fetchAdapter.webhook(toy, "s");
    new Hono().post("/hooks", (c) => POST(c.req.raw));
    fastify().register(fastifyAdapter.webhook(toy), {
      secret: "s",
      prefix: "/hooks",
      on: { "toy.returned": ({ data }) => expectTypeOf(data.reason).toEqualTypeOf<string>() },
    });
    fastify().register(fastifyAdapter.webhook(toy), { receiver: createReceiver(toy, { secret: "s" }) });
  });

  test("gives tolokaWebhook and prolificWebhook their types", () => {
    expectTypeOf(nodeAdapter.tolokaWebhook).returns.toEqualTypeOf<nodeAdapter.NodeWebhook<TolokaEvents>>();
    expectTypeOf(expressAdapter.prolificWebhook).returns.toEqualTypeOf<
      expressAdapter.ExpressWebhook<ProlificEvents>
    >();
    expectTypeOf(koaAdapter.tolokaWebhook).returns.toEqualTypeOf<koaAdapter.KoaWebhook<TolokaEvents>>();
    expectTypeOf(fetchAdapter.prolificWebhook).returns.toEqualTypeOf<
      fetchAdapter.FetchWebhook<ProlificEvents>
    >();
    expectTypeOf(fastifyAdapter.tolokaWebhook).toEqualTypeOf<
      FastifyPluginAsync<fastifyAdapter.FastifyWebhookOptions<TolokaEvents>>
    >();
  });
});

test("shutdownGracefully takes servers, webhooks and receivers", () => {
  const webhook = nodeWebhook("s");
  const app = fastify();
  const server = nodeAdapter.trackReplies(createServer(webhook));
  expectTypeOf(server).toEqualTypeOf<Server>();
  const shutDown = () => nodeAdapter.shutdownGracefully(server, [webhook, receiver], { timeout: 20 });
  expectTypeOf(shutDown).returns.resolves.toEqualTypeOf<void>();
  void (() => fastifyAdapter.shutdownGracefully(app.server, [app.toloka, app.prolific]));
  void (() => koaAdapter.shutdownGracefully(createSecureServer(), [koaWebhook("s")]));
  // @ts-expect-error: an app is not a server
  void (() => expressAdapter.shutdownGracefully(express(), [webhook]));
});

test("observe and orderingKey get typed arguments in adapters and in createReceiver", () => {
  const options = {
    orderingKey: (event: ReceivedEvent) => event.id,
    observe: (record: DeliveryRecord) => record.code,
  };
  createReceiver(toloka, { secret: "s", ...options });
  nodeWebhook("s", {
    orderingKey: ({ data }) => (typeof data.pool_id === "string" ? data.pool_id : undefined),
    observe: ({ code, reason, events, bytes, durations }) => {
      expectTypeOf(code).toEqualTypeOf<ErrorCode | undefined>();
      expectTypeOf(reason).toEqualTypeOf<string | undefined>();
      expectTypeOf(bytes).toEqualTypeOf<number | undefined>();
      expectTypeOf(events[0]?.outcome).toExtend<string | undefined>();
      expectTypeOf(durations.total).toEqualTypeOf<number>();
    },
  });
  // @ts-expect-error: orderingKey returns a string, not a promise
  nodeWebhook("s", { orderingKey: async () => "key" });
});

test("codes are a closed union", () => {
  expectTypeOf<"EVENT_FAILED">().toExtend<ErrorCode>();
  expectTypeOf<"OVERLOADED">().toExtend<ErrorCode>();
  expectTypeOf<"NO_SUCH_CODE">().not.toExtend<ErrorCode>();
});
