import { inspect } from "node:util";
import { type SignedDelivery, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { openTelemetry } from "@crowdhook/otel";
import { context, metrics, propagation, trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import {
  delivering,
  ofToloka,
  prepareSdk,
  processing,
  SECRET,
  signed,
  treesOf,
  typed,
  withHeaders,
} from "./otel-sdk.js";

describe("metrics and attributes of openTelemetry", () => {
  const { out, receive, receiveFour } = prepareSdk();

  test("metrics count and time deliveries by code, and events by type and outcome", async () => {
    await receiveFour();
    const ofType = { ...processing, "messaging.destination.name": "ASSIGNMENT_SUBMITTED" };
    const failed = { ...ofType, "error.type": "RangeError" };
    const series = await out.series();
    expect(series).toHaveLength(7);
    expect(series).toEqual(
      expect.arrayContaining([
        ["messaging.process.duration", 1, { ...delivering, "error.type": "EVENT_FAILED" }],
        ["messaging.process.duration", 3, ofType],
        ["messaging.process.duration", 1, failed],
        ["messaging.client.consumed.messages", 3, ofType],
        ["messaging.client.consumed.messages", 1, failed],
        ["crowdhook.events", 3, { ...ofToloka, "crowdhook.event.outcome": "handled" }],
        ["crowdhook.events", 1, { ...ofToloka, "crowdhook.event.outcome": "failed" }],
      ]),
    );
  });

  test("durations are in seconds, in the buckets of the conventions", async () => {
    const receiver = receive();
    const startedAt = performance.now();
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const elapsedSeconds = (performance.now() - startedAt) / 1000;
    const [scope] = await out.metrics();
    const duration = scope?.metrics.find(
      ({ descriptor }) => descriptor.name === "messaging.process.duration",
    );
    expect(duration?.descriptor).toMatchObject({
      unit: "s",
      advice: {
        explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
      },
    });
    for (const span of out.spans()) {
      const point = duration?.dataPoints.find(
        ({ attributes }) =>
          attributes["messaging.operation.name"] === span.attributes["messaging.operation.name"],
      );
      const { sum = Number.NaN } = (point?.value ?? {}) as { sum?: number };
      expect(sum).toBeGreaterThan(0);
      // In milliseconds the sum would be a thousand times as large.
      expect(sum).toBeLessThan(elapsedSeconds);
    }
  });

  test("spans and metrics name the package, its version and the version of the conventions", async () => {
    await receive().handle(signed([tolokaEvent("POOL_CLOSED")]));
    const scope = {
      name: "@crowdhook/otel",
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      schemaUrl: "https://opentelemetry.io/schemas/1.45.0",
    };
    expect(out.spans().map((span) => span.instrumentationScope)).toEqual([scope, scope]);
    expect((await out.metrics()).map((metrics) => metrics.scope)).toEqual([scope]);
  });

  test("delivery counts its duplicates", async () => {
    const receiver = receive();
    receiver.onAny(() => {});
    const delivery = signed([tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")]);
    await receiver.handle(delivery);
    await receiver.handle(delivery);
    const [, again] = treesOf(out.spans());
    expect(again).toMatchObject({ status: "UNSET", children: [] });
    expect(again?.attributes).toMatchObject({
      "messaging.batch.message_count": 2,
      "crowdhook.events.duplicate": 2,
    });
    expect(again?.attributes).not.toHaveProperty(["crowdhook.events.handled"]);
    expect(await out.series()).toContainEqual([
      "crowdhook.events",
      2,
      { ...ofToloka, "crowdhook.event.outcome": "duplicate" },
    ]);
  });

  test("unknown type is a shortened attribute of its event's span, and in no metric", async () => {
    const type = "N".repeat(1000);
    const receiver = receive();
    receiver.onUnrecognized(() => {});
    const reply = await receiver.handle(signed([{ ...tolokaEvent("POOL_CLOSED"), type }]));
    expect(reply.status).toBe(200);
    const [event, delivery] = out.spans();
    expect(delivery?.attributes).toMatchObject({ "crowdhook.events.unrecognized": 1 });
    expect(event?.name).toBe("process");
    expect(event?.attributes["messaging.destination.name"]).toBe("N".repeat(100));
    expect(JSON.stringify(await out.metrics())).not.toContain("NNN");
  });

  test("event without an id and a type has a span without them", async () => {
    const receiver = receive();
    receiver.onUnrecognized(() => {});
    await receiver.handle(signed([{ ...tolokaEvent("POOL_CLOSED"), uuid: undefined, type: undefined }]));
    const [event] = out.named("process");
    expect(event?.attributes).toEqual({ ...processing, ...typed });
  });

  test("no secret, signature, payload or error message is exported", async () => {
    const receiver = receive();
    const events = [
      tolokaEvent("POOL_CLOSED", { uuid: "uuid-1", pool_id: "payload-of-1" }),
      tolokaEvent("POOL_CLOSED", { uuid: "uuid-2", pool_id: "payload-of-2" }),
      tolokaEvent("POOL_CLOSED", { uuid: "uuid-3", pool_id: 3 }),
    ];
    class PaymentError extends Error {
      override name = "PaymentError";
      readonly card = "a-card-number";
    }
    receiver.on("POOL_CLOSED", ({ id, data }) => {
      if (id === "uuid-1") throw new PaymentError(`a-message about ${data.pool_id}`, { cause: "a-cause" });
      throw "a-thrown-string";
    });
    const delivery = signed(events);
    const forged = signToloka({ secret: "another-secret", events });
    expect((await receiver.handle(delivery)).status).toBe(500);
    expect((await receiver.handle(forged)).status).toBe(401);

    const exported =
      inspect([out.spans(), await out.metrics()], {
        depth: Number.POSITIVE_INFINITY,
        maxArrayLength: null,
        maxStringLength: null,
      }) +
      JSON.stringify([
        treesOf(out.spans()),
        out.spans().map((span) => [span.events, span.status, span.links]),
      ]);
    const signature = (of: SignedDelivery) =>
      /sign=(\w+)/.exec(of.headers["toloka-signature"] ?? "")?.[1] ?? "";
    for (const private_ of [
      SECRET,
      "another-secret",
      signature(delivery),
      signature(forged),
      "payload-of",
      "a-message",
      "a-cause",
      "a-card-number",
      "a-thrown-string",
      "otel-metrics.test", // a stack trace
      "expected string", // a problem of the data
    ]) {
      expect(private_).not.toBe("");
      expect(exported).not.toContain(private_);
    }
    // The search finds values that are exported.
    for (const found of ["uuid-1", "PaymentError", "uuid-2", "string", "uuid-3", "TypeError"]) {
      expect(exported).toContain(found);
    }
  });

  describe("openTelemetry without providers", () => {
    test("does nothing without a registered SDK", async () => {
      context.disable();
      propagation.disable();
      const handled: string[] = [];
      const receiver = receive({ instrumentation: openTelemetry() });
      receiver.onAny(({ id }) => handled.push(id));
      const reply = await receiver.handle(
        withHeaders(signed([tolokaEvent("POOL_CLOSED", { uuid: "uuid-1" })]), {
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }),
      );
      expect([reply.status, handled]).toEqual([200, ["uuid-1"]]);
      expect(console.error).not.toHaveBeenCalled();
    });

    test("uses providers that are registered after the first delivery", async () => {
      const receiver = receive({ instrumentation: openTelemetry() });
      await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
      trace.setGlobalTracerProvider(out.tracerProvider);
      metrics.setGlobalMeterProvider(out.meterProvider);
      await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
      expect(treesOf(out.spans())).toMatchObject([{ name: "deliver toloka", children: [{}] }]);
      expect(await out.series()).toContainEqual(["messaging.process.duration", 1, delivering]);
    });
  });
});
