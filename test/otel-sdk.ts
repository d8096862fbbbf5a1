import { createReceiver, type Receiver, type ReceiverOptions } from "@crowdhook/core";
import { type SignedDelivery, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { type TolokaEvents, toloka } from "@crowdhook/core/toloka";
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
import { afterEach, beforeEach, expect, vi } from "vitest";

export const SECRET = "the-secret-of-the-webhook";

/** An SDK that exports to memory. */
function createSdk() {
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

export interface Tree {
  readonly name: string;
  readonly kind: string | undefined;
  readonly status: string | undefined;
  readonly attributes: object;
  readonly children: readonly Tree[];
}

export function treesOf(spans: readonly ReadableSpan[], parent?: ReadableSpan): Tree[] {
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

export function parentIdOf(span: ReadableSpan | undefined): string | undefined {
  return span?.parentSpanContext?.spanId;
}

export function idOf(span: ReadableSpan | undefined): string | undefined {
  return span?.spanContext().spanId;
}

export function withHeaders(delivery: SignedDelivery, headers: Record<string, string>): SignedDelivery {
  return { ...delivery, headers: { ...delivery.headers, ...headers } };
}

export const ofToloka = { "messaging.system.name": "toloka" };
export const delivering = { ...ofToloka, "messaging.operation.name": "deliver" };
export const processing = { ...ofToloka, "messaging.operation.name": "process" };
export const typed = { "messaging.operation.type": "process" };

export function signed(events: readonly object[]): SignedDelivery {
  return signToloka({ secret: SECRET, events });
}

/** Gives each test an SDK of its own, and receivers that export to it. */
export function prepareSdk() {
  let sdk = createSdk();
  const out = {
    get tracerProvider() {
      return sdk.tracerProvider;
    },
    get meterProvider() {
      return sdk.meterProvider;
    },
    spans: () => sdk.spans(),
    named: (name: string) => sdk.named(name),
    metrics: () => sdk.metrics(),
    series: () => sdk.series(),
  };

  beforeEach(() => {
    sdk = createSdk();
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
  /** Handles a delivery of four events. The third one fails. */
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

  return { out, receive, receiveFour };
}
