import { inspect } from "node:util";
import { createReceiver, type Receiver, type ReceiverOptions } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import {
  prolificEvent,
  type SignedDelivery,
  signProlific,
  signToloka,
  tolokaEvent,
} from "@crowdhook/core/testing";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
import { tolokaWebhook } from "@crowdhook/fetch";
import { openTelemetry } from "@crowdhook/otel";
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const SECRET = "the-secret-of-the-webhook";

/** What is exported, and providers that do so. */
function sdk() {
  const spanExporter = new InMemorySpanExporter();
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] });
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: metricExporter })],
  });
  return {
    tracerProvider,
    meterProvider,
    spans: () => spanExporter.getFinishedSpans(),
    named: (name: string) => spanExporter.getFinishedSpans().filter((span) => span.name === name),
    async metrics() {
      metricExporter.reset();
      await meterProvider.forceFlush();
      return metricExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    },
    /** `[name, value or count, attributes]` of every series. */
    async series() {
      const scopes = await this.metrics();
      return scopes.flatMap((scope) =>
        scope.metrics.flatMap(({ descriptor, dataPoints }) =>
          dataPoints.map(({ value, attributes }) => [
            descriptor.name,
            typeof value === "object" && "count" in value ? value.count : value,
            attributes,
          ]),
        ),
      );
    },
  };
}

interface Tree {
  readonly name: string;
  readonly kind: string | undefined;
  readonly status: string | undefined;
  readonly attributes: object;
  readonly children: readonly Tree[];
}

function treesOf(spans: readonly ReadableSpan[], parent?: ReadableSpan): Tree[] {
  return spans
    .filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent?.spanContext().spanId)
    .map((span) => ({
      name: span.name,
      kind: SpanKind[span.kind],
      status: SpanStatusCode[span.status.code],
      attributes: span.attributes,
      children: treesOf(spans, span),
    }));
}

function parentIdOf(span: ReadableSpan | undefined): string | undefined {
  return span?.parentSpanContext?.spanId;
}

function idOf(span: ReadableSpan | undefined): string | undefined {
  return span?.spanContext().spanId;
}

function withHeaders(delivery: SignedDelivery, headers: Record<string, string>): SignedDelivery {
  return { ...delivery, headers: { ...delivery.headers, ...headers } };
}

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

const ofToloka = { "messaging.system.name": "toloka" };
const delivering = { ...ofToloka, "messaging.operation.name": "deliver" };
const processing = { ...ofToloka, "messaging.operation.name": "process" };
const typed = { "messaging.operation.type": "process" };

describe("openTelemetry", () => {
  let out: ReturnType<typeof sdk>;

  beforeEach(() => {
    out = sdk();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    vi.spyOn(console, "error").mockImplementation(() => {});
  });
  afterEach(() => {
    for (const api of [context, propagation, trace, metrics]) api.disable();
    vi.restoreAllMocks();
  });

  const receive = (options: ReceiverOptions = {}): Receiver<TolokaEvents> =>
    createReceiver(toloka, { secret: SECRET, instrumentation: openTelemetry(out), ...options });
  const signed = (events: readonly object[]) => signToloka({ secret: SECRET, events });
  /** The third of four fails. */
  async function receiveFour() {
    const events = ["uuid-1", "uuid-2", "uuid-3", "uuid-4"].map((uuid) =>
      tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid }),
    );
    const receiver = receive();
    receiver.on("ASSIGNMENT_SUBMITTED", (event) => {
      if (event.id === "uuid-3") throw new RangeError("a message");
    });
    const delivery = signed(events);
    expect((await receiver.handle(delivery)).status).toBe(500);
    return delivery;
  }

  test("a delivery is a span, and each of its events is a child of that", async () => {
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

  test("deliveries are counted and timed by their code, events by their type and outcome", async () => {
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

  test("durations are in seconds, in the buckets that the conventions advise", async () => {
    const receiver = receive();
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
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
      const [seconds, nanoseconds] = span.duration;
      const { sum = Number.NaN } = (point?.value ?? {}) as { sum?: number };
      expect(sum).toBeGreaterThan(0);
      // Far below what it would be in milliseconds.
      expect(sum).toBeLessThan(10 * (seconds + nanoseconds / 1e9) + 0.02);
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

  test.each([
    ["toloka", "POOL_CLOSED"],
    ["prolific", "submission.status.change"],
  ] as const)(
    "of %s, the provider is the system and the event's type the destination",
    async (system, type) => {
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
    },
  );

  describe("the parent of a delivery's span", () => {
    const TRACE = "0af7651916cd43dd8448eb211c80319c";
    const SPAN = "b7ad6b7169203331";
    const delivery = () =>
      withHeaders(signed([tolokaEvent("POOL_CLOSED")]), { traceparent: `00-${TRACE}-${SPAN}-01` });

    test("is the one that its headers name", async () => {
      await receive().handle(delivery());
      const [event, span] = out.spans();
      expect(span?.parentSpanContext).toMatchObject({ traceId: TRACE, spanId: SPAN, isRemote: true });
      expect(event?.spanContext().traceId).toBe(TRACE);
    });

    test("is the one that a Fetch request's headers name", async () => {
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

    test("is none where there is neither, nor a header that can be read", async () => {
      const receiver = receive();
      await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
      await receiver.handle(
        withHeaders(signed([tolokaEvent("POOL_CLOSED")]), { traceparent: "00-zz-zz-01" }),
      );
      expect(out.named("deliver toloka").map(parentIdOf)).toEqual([undefined, undefined]);
    });
  });

  test("a listener's own span is a child of its event's", async () => {
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
  ])("deliveries at once do not mix, with %s", async (_, concurrency) => {
    const deliveries = Array.from({ length: 5 }, (_, i) => ({
      traceId: String(i + 1).repeat(32),
      ids: Array.from({ length: 4 }, (_, j) => `event-${i}-${j}`),
    }));
    // Every listener waits for one of every other delivery, at four at a time for all of them.
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
        // The remote parent.
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

  test("a delivery that is refused has a span that says why, is no error here, and has no events", async () => {
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

  test("a delivery counts its duplicates, for which no listener ran", async () => {
    const receiver = receive();
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

  test("a new type is an attribute of its event's span, shortened, and of no metric", async () => {
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

  test("an event without an id or a type has a span without them", async () => {
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
      "otel.test", // a stack
      "expected string", // what does not fit
    ]) {
      expect(private_).not.toBe("");
      expect(exported).not.toContain(private_);
    }
    // What is looked for would be found.
    for (const told of ["uuid-1", "PaymentError", "uuid-2", "string", "uuid-3", "TypeError"]) {
      expect(exported).toContain(told);
    }
  });

  test("the span of an event that runs into its timeout ends then, and not with its listener", async () => {
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

  describe("an event that is run outside of a delivery", () => {
    const event = { ...tolokaEvent("POOL_CLOSED"), type: "POOL_CLOSED" } as const;
    const kept = {
      provider: "toloka",
      type: "POOL_CLOSED",
      id: event.uuid,
      occurredAt: new Date(),
      data: event,
    } as const;
    const signal = new AbortController().signal;

    test("has a span of its own, and the delivery that a sink took has none of it", async () => {
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

    test("is a child of the worker's span if there is one", async () => {
      const job = out.tracerProvider.getTracer("queue").startSpan("job");
      await context.with(trace.setSpan(context.active(), job), () => receive().dispatch(kept, { signal }));
      expect(out.named("process POOL_CLOSED")[0]?.parentSpanContext).toEqual(job.spanContext());
    });

    test("fails for the worker as it would without a span", async () => {
      const receiver = receive();
      const failure = new RangeError("a message");
      receiver.on("POOL_CLOSED", () => Promise.reject(failure));
      await expect(receiver.dispatch(kept, { signal })).rejects.toBe(failure);
      expect(treesOf(out.spans())).toMatchObject([
        { status: "ERROR", attributes: { "error.type": "RangeError" } },
      ]);
    });
  });

  test("of several errors, the first one's name is told; undefined is one, too", async () => {
    const receiver = receive();
    receiver.on("POOL_CLOSED", () => Promise.reject(undefined));
    receiver.on("POOL_CLOSED", () => Promise.reject(new RangeError()));
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const [event] = out.named("process POOL_CLOSED");
    expect(event?.attributes["error.type"]).toBe("undefined");
    expect(event?.status.code).toBe(SpanStatusCode.ERROR);
  });

  test("an onError listener can record the error on its event's span", async () => {
    const receiver = receive();
    receiver.on("POOL_CLOSED", () => Promise.reject(new RangeError("a message")));
    receiver.onError((error) => trace.getActiveSpan()?.recordException(error as Error));
    await receiver.handle(signed([tolokaEvent("POOL_CLOSED")]));
    const [event] = out.named("process POOL_CLOSED");
    expect(event?.events).toMatchObject([{ attributes: { "exception.message": "a message" } }]);
  });

  test("a span ends even if its error cannot be named, and the delivery is answered", async () => {
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

  describe("without providers of its own", () => {
    test("does nothing where no SDK is registered", async () => {
      context.disable();
      propagation.disable();
      const heard: string[] = [];
      const receiver = receive({ instrumentation: openTelemetry() });
      receiver.onAny(({ id }) => heard.push(id));
      const reply = await receiver.handle(
        withHeaders(signed([tolokaEvent("POOL_CLOSED", { uuid: "uuid-1" })]), {
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }),
      );
      expect([reply.status, heard]).toEqual([200, ["uuid-1"]]);
      expect(console.error).not.toHaveBeenCalled();
    });

    test("takes those that are registered, even after the first delivery", async () => {
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
