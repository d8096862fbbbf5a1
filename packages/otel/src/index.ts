import type { DeliveryHeaders, Instrumentation } from "@crowdhook/core";
import { kindOf } from "@crowdhook/core/internal";
import {
  type Attributes,
  type Context,
  type Counter,
  context,
  type Histogram,
  type MeterProvider,
  metrics,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { version } from "../package.json";

/** The providers that get the spans and the metrics. */
export interface OpenTelemetryOptions {
  /** Default: the provider that the app registers with `@opentelemetry/api`, before or after this call. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Default: the provider that the app registers with `@opentelemetry/api`, before or after this call. */
  readonly meterProvider?: MeterProvider | undefined;
}

const SCOPE = ["@crowdhook/otel", version, { schemaUrl: "https://opentelemetry.io/schemas/1.45.0" }] as const;

/**
 * Names of OpenTelemetry's semantic conventions 1.45.0. Those of messaging are in development there.
 * They are not imported, because the conventions' package has most of them under `incubating`, which
 * may break in any minor release.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/messaging/
 */
const NAME = {
  system: "messaging.system.name",
  operation: "messaging.operation.name",
  operationType: "messaging.operation.type",
  destination: "messaging.destination.name",
  messageId: "messaging.message.id",
  messageCount: "messaging.batch.message_count",
  bodySize: "http.request.body.size",
  status: "http.response.status_code",
  errorType: "error.type",
  processDuration: "messaging.process.duration",
  consumedMessages: "messaging.client.consumed.messages",
} as const;

/** In seconds. Source: the conventions, for `messaging.process.duration`. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** In characters. An unknown type can be any string, and so can an id of a provider of the app's own. */
const TYPE_MAX = 100;
const ID_MAX = 255;

interface Instruments {
  /** In seconds. */
  readonly duration: Histogram;
  readonly consumed: Counter;
  readonly events: Counter;
}

/**
 * Returns an instrumentation that records spans and metrics of deliveries and events.
 *
 * A delivery's span is a child of the active span or, without one, of the span that the delivery's
 * headers name. An event's span is a child of its delivery's span, and active while listeners run.
 * Only the name of a listener's error is recorded, never its message.
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Instrumentation {
  const tracer = (options.tracerProvider ?? trace).getTracer(...SCOPE);
  const instruments = instrumentsOf(() => options.meterProvider ?? metrics.getMeterProvider());

  /**
   * Calls `run` in a new span, and records its duration. Returns the attributes of the metric.
   *
   * @param about.shared Attributes of the span and of the metric. Metrics need few values per attribute.
   * @param about.own Attributes of the span alone.
   * @param conclude Completes the span. Returns the kind of error that it ended with.
   */
  function inSpan<Result>(
    about: { name: string; shared: Attributes; own: Attributes; parent: Context },
    run: () => Promise<Result>,
    conclude: (result: Result, span: Span) => string | undefined,
  ): Promise<Attributes> {
    const attributes = { ...about.shared, [NAME.operationType]: "process", ...about.own };
    const started = performance.now();
    return tracer.startActiveSpan(
      about.name,
      { kind: SpanKind.CONSUMER, attributes },
      about.parent,
      async (span) => {
        try {
          const error = conclude(await run(), span);
          if (error !== undefined) span.setAttribute(NAME.errorType, error);
          const labels = error === undefined ? about.shared : { ...about.shared, [NAME.errorType]: error };
          instruments().duration.record((performance.now() - started) / 1000, labels);
          return labels;
        } finally {
          span.end();
        }
      },
    );
  }

  return {
    async delivery({ provider, headers }, run) {
      const name = `deliver ${provider}`;
      const shared = { [NAME.system]: provider, [NAME.operation]: "deliver" };
      await inSpan({ name, shared, own: {}, parent: parentOf(headers) }, run, (record, span) => {
        const { status, code, events, bytes } = record;
        span.setAttribute(NAME.status, status);
        // The conventions for HTTP servers say that a mistake of the sender is not an error of the server.
        if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        if (bytes !== undefined) span.setAttribute(NAME.bodySize, bytes);
        // The number of events in a refused delivery is unknown.
        if (code === undefined || events.length > 0) span.setAttribute(NAME.messageCount, events.length);
        for (const [outcome, count] of tally(events.map((event) => event.outcome))) {
          span.setAttribute(`crowdhook.events.${outcome}`, count);
          instruments().events.add(count, { [NAME.system]: provider, "crowdhook.event.outcome": outcome });
        }
        return code;
      });
    },

    async event({ provider, type, id, problems }, run) {
      const isKnown = type !== "" && problems?.length !== 0;
      const name = isKnown ? `process ${type}` : "process";
      const shared = {
        [NAME.system]: provider,
        [NAME.operation]: "process",
        ...(isKnown && { [NAME.destination]: type }),
      };
      const own = {
        ...(type !== "" && { [NAME.destination]: type.slice(0, TYPE_MAX) }),
        ...(id !== "" && { [NAME.messageId]: id.slice(0, ID_MAX) }),
      };
      const parent = context.active();
      const labels = await inSpan({ name, shared, own, parent }, run, (failures, span) => {
        if (failures.length === 0) return undefined;
        span.setStatus({ code: SpanStatusCode.ERROR });
        return kindOf(failures[0]);
      });
      instruments().consumed.add(1, labels);
    },
  };
}

/** Creates the instruments again when the app registers another provider: meters do not follow it. */
function instrumentsOf(providerOf: () => MeterProvider): () => Instruments {
  let provider: MeterProvider | undefined;
  let made: Instruments;
  return () => {
    const current = providerOf();
    if (current === provider) return made;
    provider = current;
    const meter = current.getMeter(...SCOPE);
    made = {
      duration: meter.createHistogram(NAME.processDuration, {
        description: "Duration of processing operation.",
        unit: "s",
        advice: { explicitBucketBoundaries: BUCKETS },
      }),
      consumed: meter.createCounter(NAME.consumedMessages, {
        description: "Number of messages that were delivered to the application.",
        unit: "{message}",
      }),
      events: meter.createCounter("crowdhook.events", {
        description: "Number of events in deliveries, by outcome.",
        unit: "{event}",
      }),
    };
    return made;
  };
}

const getter: TextMapGetter<DeliveryHeaders> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  // `DeliveryHeaders` has no list of names.
  keys: () => [],
};

function parentOf(headers: DeliveryHeaders): Context {
  const active = context.active();
  return trace.getSpan(active) ? active : propagation.extract(active, headers, getter);
}

function tally<T>(values: readonly T[]): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
