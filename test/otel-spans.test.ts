import { createReceiver } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/fetch";
import { openTelemetry } from "@crowdhook/otel";
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { describe, expect, test } from "vitest";
import {
  delivering,
  idOf,
  parentIdOf,
  prepareSdk,
  processing,
  SECRET,
  signed,
  treesOf,
  typed,
  withHeaders,
} from "./otel-sdk.js";

/** Resolves when as many callers wait as it takes. */
function barrier(size: number): () => Promise<void> {
  let waiting: (() => void)[] = [];
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length < size) return;
      for (const go of waiting) go();
      waiting = [];
    });
}
describe("spans of openTelemetry", () => {
  const { out, receive, receiveFour } = prepareSdk();

  test("delivery has a span with a child span for each event", async () => {
    const { body } = await receiveFour();
    const child = (id: string, failure?: string) => ({
      name: "process ASSIGNMENT_SUBMITTED",
      kind: "CONSUMER",
      status: failure ? "ERROR" : "UNSET",
      attributes: {
        ...processing,
        ...typed,
        "messaging.destination.name": "ASSIGNMENT_SUBMITTED",
        "messaging.message.id": id,
        ...(failure && { "error.type": failure }),
      },
      children: [],
    });
    expect(treesOf(out.spans())).toEqual([
      {
        name: "deliver toloka",
        kind: "CONSUMER",
        status: "ERROR",
        attributes: {
          ...delivering,
          ...typed,
          "messaging.batch.message_count": 4,
          "http.request.body.size": body.length,
          "http.response.status_code": 500,
          "error.type": "EVENT_FAILED",
          "crowdhook.events.handled": 3,
          "crowdhook.events.failed": 1,
        },
        children: [child("uuid-1"), child("uuid-2"), child("uuid-3", "RangeError"), child("uuid-4")],
      },
    ]);
  });

  test.each([
    ["toloka", "POOL_CLOSED"],
    ["prolific", "submission.status.change"],
  ] as const)("spans name %s as the system and the event's type as the destination", async (system, type) => {
    const options = { secret: SECRET, instrumentation: openTelemetry(out) };
    const reply =
      system === "toloka"
        ? await createReceiver(toloka, options).handle(signed([tolokaEvent("POOL_CLOSED")]))
        : await createReceiver(prolific, options).handle(
            signProlific({ secret: SECRET, event: prolificEvent("submission.status.change") }),
          );
    expect(reply.status).toBe(200);
    expect(treesOf(out.spans())).toMatchObject([
      {
        name: `deliver ${system}`,
        status: "UNSET",
        attributes: { "messaging.system.name": system, "messaging.batch.message_count": 1 },
        children: [
          {
            name: `process ${type}`,
            status: "UNSET",
            attributes: { "messaging.system.name": system, "messaging.destination.name": type },
          },
        ],
      },
    ]);
    expect(out.spans().some((span) => "error.type" in span.attributes)).toBe(false);
  });

  describe("parent of a delivery's span", () => {
    const TRACE = "0af7651916cd43dd8448eb211c80319c";
    const SPAN = "b7ad6b7169203331";
    const delivery = () =>
      withHeaders(signed([tolokaEvent("POOL_CLOSED")]), { traceparent: `00-${TRACE}-${SPAN}-01` });

    test("is the span that its headers name", async () => {
      await receive().handle(delivery());
      const [event, span] = out.spans();
      expect(span?.parentSpanContext).toMatchObject({ traceId: TRACE, spanId: SPAN, isRemote: true });
      expect(event?.spanContext().traceId).toBe(TRACE);
    });

    test("is the span that a Fetch request's headers name", async () => {
      const webhook = tolokaWebhook(SECRET, { instrumentation: openTelemetry(out) });
      const response = await webhook(new Request("http://localhost/toloka-webhook", delivery()));
      expect(response.status).toBe(200);
      expect(parentIdOf(out.named("deliver toloka")[0])).toBe(SPAN);
    });

    test("is the active span, whatever the headers name", async () => {
      const server = out.tracerProvider.getTracer("http").startSpan("POST /toloka-webhook");
      await context.with(trace.setSpan(context.active(), server), () => receive().handle(delivery()));
      const [span] = out.named("deliver toloka");
      expect(span?.parentSpanContext).toEqual(server.spanContext());
      expect(span?.spanContext().traceId).not.toBe(TRACE);
    });

    test("is missing without an active span and a readable header", async () => {
      const receiver = receive();
      await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
      await receiver.handle(
        withHeaders(signed([tolokaEvent("POOL_CLOSED")]), { traceparent: "00-zz-zz-01" }),
      );
      expect(out.named("deliver toloka").map(parentIdOf)).toEqual([undefined, undefined]);
    });
  });

  test("a listener's own span is a child of the event's span", async () => {
    const receiver = receive();
    receiver.on("POOL_CLOSED", async () => {
      await Promise.resolve();
      out.tracerProvider.getTracer("app").startSpan("pay").end();
    });
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const [own] = out.named("pay");
    expect(own).toBeDefined();
    expect(parentIdOf(own)).toBe(idOf(out.named("process POOL_CLOSED")[0]));
  });

  test.each([
    ["one event at a time", 1],
    ["four events at a time", 4],
  ])("spans of concurrent deliveries do not mix with %s", async (_, concurrency) => {
    const deliveries = Array.from({ length: 5 }, (_, i) => ({
      traceId: String(i + 1).repeat(32),
      ids: Array.from({ length: 4 }, (_, j) => `event-${i}-${j}`),
    }));
    // Each listener waits until every delivery has started as many listeners as its concurrency allows.
    const meet = barrier(deliveries.length * concurrency);
    const receiver = receive({ concurrency, orderingKey: () => undefined });
    receiver.onAny(async (event) => {
      await meet();
      out.tracerProvider
        .getTracer("app")
        .startSpan("pay", { attributes: { id: event.id } })
        .end();
    });
    await Promise.all(
      deliveries.map(({ traceId, ids }) =>
        receiver.handle(
          withHeaders(signed(ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }))), {
            traceparent: `00-${traceId}-b7ad6b7169203331-01`,
          }),
        ),
      ),
    );
    for (const { traceId, ids } of deliveries) {
      const trees = treesOf(
        out.spans().filter((span) => span.spanContext().traceId === traceId),
        // The parent span is remote, so nothing exports it.
        { spanContext: () => ({ spanId: "b7ad6b7169203331" }) } as ReadableSpan,
      );
      expect(trees).toHaveLength(1);
      const ofEvents = trees[0]?.children.map(({ attributes, children }) => [
        (attributes as Record<string, unknown>)["messaging.message.id"],
        ...children.map((own) => own.attributes),
      ]);
      expect(ofEvents?.sort()).toEqual(ids.map((id) => [id, { id }]));
    }
    expect(out.spans()).toHaveLength(5 + 20 + 20);
  });

  test("refused delivery has a span with its code, without the status ERROR and without events", async () => {
    const { headers, body } = signToloka({ secret: "guessed", events: [tolokaEvent("POOL_CLOSED")] });
    const reply = await receive().handle({ method: "POST", headers, body });
    expect(reply.status).toBe(401);
    expect(treesOf(out.spans())).toEqual([
      {
        name: "deliver toloka",
        kind: "CONSUMER",
        status: "UNSET",
        attributes: {
          ...delivering,
          ...typed,
          "http.request.body.size": body.length,
          "http.response.status_code": 401,
          "error.type": "SIGNATURE_MISMATCH",
        },
        children: [],
      },
    ]);
    expect(await out.series()).toEqual([
      ["messaging.process.duration", 1, { ...delivering, "error.type": "SIGNATURE_MISMATCH" }],
    ]);
  });

  test("span of an event ends at its timeout, before the listener does", async () => {
    const receiver = receive({ timeout: 0.02 });
    receiver.onError(() => {});
    let finish = () => {};
    receiver.on("POOL_CLOSED", () => new Promise<void>((resolve) => (finish = resolve)));
    const reply = await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    expect(reply.status).toBe(500);
    const [event] = out.named("process POOL_CLOSED");
    expect(event?.attributes["error.type"]).toBe("TimeoutError");
    expect(event?.status).toEqual({ code: SpanStatusCode.ERROR });
    finish();
  });

  describe("event that receiver.dispatch runs", () => {
    const event = { ...tolokaEvent("POOL_CLOSED"), type: "POOL_CLOSED" } as const;
    const kept = {
      provider: "toloka",
      type: "POOL_CLOSED",
      id: event.uuid,
      occurredAt: new Date(),
      data: event,
    } as const;
    const signal = new AbortController().signal;

    test("has a span of its own, and the span of the delivery has no children", async () => {
      const taken: unknown[] = [];
      const sunk = receive({ sink: { accept: (events) => void taken.push(...events) } });
      await sunk.handle(signed([event]));
      expect(treesOf(out.spans())).toMatchObject([
        { name: "deliver toloka", attributes: { "crowdhook.events.handled": 1 }, children: [] },
      ]);
      await sunk.dispatch(taken[0] as typeof kept, { signal });
      const [, own] = treesOf(out.spans());
      expect(own).toMatchObject({
        name: "process POOL_CLOSED",
        status: "UNSET",
        attributes: { "messaging.message.id": event.uuid },
      });
    });

    test("has the worker's active span as its parent", async () => {
      const job = out.tracerProvider.getTracer("queue").startSpan("job");
      await context.with(trace.setSpan(context.active(), job), () => receive().dispatch(kept, { signal }));
      expect(out.named("process POOL_CLOSED")[0]?.parentSpanContext).toEqual(job.spanContext());
    });

    test("rejects with the error of its listener", async () => {
      const receiver = receive();
      const failure = new RangeError("a message");
      receiver.on("POOL_CLOSED", () => Promise.reject(failure));
      await expect(receiver.dispatch(kept, { signal })).rejects.toBe(failure);
      expect(treesOf(out.spans())).toMatchObject([
        { status: "ERROR", attributes: { "error.type": "RangeError" } },
      ]);
    });
  });

  test("span of an event names the first of several errors, even undefined", async () => {
    const receiver = receive();
    receiver.on("POOL_CLOSED", () => Promise.reject(undefined));
    receiver.on("POOL_CLOSED", () => Promise.reject(new RangeError()));
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const [event] = out.named("process POOL_CLOSED");
    expect(event?.attributes["error.type"]).toBe("undefined");
    expect(event?.status.code).toBe(SpanStatusCode.ERROR);
  });

  test("onError listener can record the error on the event's span", async () => {
    const receiver = receive();
    receiver.on("POOL_CLOSED", () => Promise.reject(new RangeError("a message")));
    receiver.onError((error) => trace.getActiveSpan()?.recordException(error as Error));
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const [event] = out.named("process POOL_CLOSED");
    expect(event?.events).toMatchObject([{ attributes: { "exception.message": "a message" } }]);
  });

  test("spans end and the delivery is answered when reading the name of an error throws", async () => {
    const receiver = receive();
    const nameless = Object.defineProperty(new Error(), "name", {
      get() {
        throw new Error("no name");
      },
    });
    receiver.on("POOL_CLOSED", () => Promise.reject(nameless));
    const reply = await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    expect(reply.status).toBe(500);
    expect(out.spans().map(({ name, ended, status }) => [name, ended, status.code])).toEqual([
      ["process POOL_CLOSED", true, SpanStatusCode.ERROR],
      ["deliver toloka", true, SpanStatusCode.ERROR],
    ]);
  });
});
