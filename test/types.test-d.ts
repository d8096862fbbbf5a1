import { createServer } from "node:http";
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
import { ASSIGNMENT_EVENT_TYPES, type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook as expressWebhook } from "@crowdhook/express";
import { tolokaWebhook as fastifyWebhook } from "@crowdhook/fastify";
import { tolokaWebhook as fetchWebhook } from "@crowdhook/fetch";
import { tolokaWebhook as koaWebhook } from "@crowdhook/koa";
import { tolokaWebhook as nodeWebhook } from "@crowdhook/node";
import Router from "@koa/router";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expectTypeOf, test } from "vitest";

const receiver = createReceiver(toloka, { secret: "s" });

describe("listeners", () => {
  test("get the event of the type they are registered for", () => {
    expectTypeOf(receiver).toEqualTypeOf<Receiver<TolokaEvents>>();
    receiver.on("POOL_CLOSED", (event, context) => {
      expectTypeOf(event).not.toBeAny();
      expectTypeOf(event.type).toEqualTypeOf<"POOL_CLOSED">();
      expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
      expectTypeOf(event.data.webhook_subscription_id).toEqualTypeOf<string>();
      expectTypeOf(event.data.added_later).toEqualTypeOf<unknown>();
      expectTypeOf(event.occurredAt).toEqualTypeOf<Date>();
      expectTypeOf(context).toEqualTypeOf<ListenerContext>();
      expectTypeOf(context.delivery.body).toEqualTypeOf<Uint8Array>();
      expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
    });
    receiver.on("DYNAMIC_OVERLAP_COMPLETED", ({ data }) => {
      expectTypeOf(data.confidence).toEqualTypeOf<number>();
      expectTypeOf(data.assignment_ids).toEqualTypeOf<string[]>();
      expectTypeOf(data.output_values).toEqualTypeOf<Record<string, unknown> | Record<string, unknown>[]>();
    });
  });

  test("of a list of types get their union", () => {
    receiver.on(ASSIGNMENT_EVENT_TYPES, (event) => {
      expectTypeOf(event.type).toEqualTypeOf<(typeof ASSIGNMENT_EVENT_TYPES)[number]>();
      expectTypeOf(event.data.assignment_id).toEqualTypeOf<string>();
    });
    receiver.on(["POOL_CLOSED", "TEST_EVENT"], (event) => {
      expectTypeOf(event.type).toEqualTypeOf<"POOL_CLOSED" | "TEST_EVENT">();
      if (event.type === "POOL_CLOSED") expectTypeOf(event.data.close_reason).toEqualTypeOf<string>();
    });
  });

  test("for types that do not exist are refused", () => {
    // @ts-expect-error: no such type
    receiver.on("POOL_CLOSE", () => {});
    // @ts-expect-error: one of the types does not exist
    receiver.on(["POOL_CLOSED", "POOL_CLOSE"], () => {});
    // @ts-expect-error: no such type
    expressWebhook("s", { on: { POOL_CLOSE: () => {} } });
  });

  test("for any event can tell the known from the unrecognized", () => {
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

  test("are taken off by what on… gives back", () => {
    expectTypeOf(receiver.on("TEST_EVENT", () => {})).toEqualTypeOf<() => void>();
  });
});

describe("adapters", () => {
  const secret = process.env.TOLOKA_SECRET;

  test("take what the environment gives, and mount without a cast", async () => {
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
    expectTypeOf(POST).parameter(0).toEqualTypeOf<Request>();
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
    // @ts-expect-error: a number is no secret
    nodeWebhook(12345);
  });
});

test("what is observed and ordered by is typed, from an adapter as from createReceiver", () => {
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
  // @ts-expect-error: a key is there at once, and is a string
  nodeWebhook("s", { orderingKey: async () => "key" });
});

test("codes are a closed union", () => {
  expectTypeOf<"EVENT_FAILED">().toExtend<ErrorCode>();
  expectTypeOf<"OVERLOADED">().toExtend<ErrorCode>();
  expectTypeOf<"NO_SUCH_CODE">().not.toExtend<ErrorCode>();
});
