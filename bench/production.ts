/**
 * What each of the options for production adds to a delivery, as a ratio to the same receiver without
 * it. All sides run in the same rounds of the same process; CPU time.
 */
import { channel } from "node:diagnostics_channel";
import { createReceiver, type Instrumentation, type ReceiverOptions } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { openTelemetry } from "@crowdhook/otel";
import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor, InMemorySpanExporter } from "@opentelemetry/sdk-trace-base";
import { gc } from "./garbage.js";
import { interleave, median, ratios } from "./rounds.js";
import { microseconds, range } from "./units.js";

const SECRET = "12345";
const WARM_UP = 2;
const ROUNDS = 15;

interface Side {
  readonly name: string;
  readonly options: () => ReceiverOptions;
  /** Whether someone subscribes to the channel while it runs. */
  readonly subscribed?: boolean;
  /** Called before its rounds and after them, for what is global. */
  readonly set?: () => void;
  readonly unset?: () => void;
}

const nothing: Instrumentation = { delivery: (_, run) => run(), event: (_, run) => run() };
let observed = 0;
const observe = () => {
  observed++;
};

const spans = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(spans)] });
const meterProvider = new MeterProvider({
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE),
    }),
  ],
});
const contextManager = new AsyncLocalStorageContextManager();

const SIDES: Side[] = [
  { name: "plain", options: () => ({}) },
  { name: "observe", options: () => ({ observe }) },
  { name: "a subscriber of crowdhook:delivery", options: () => ({}), subscribed: true },
  { name: "concurrency: 16", options: () => ({ concurrency: 16 }) },
  { name: "timeout: 30", options: () => ({ timeout: 30 }) },
  { name: "an instrumentation that does nothing", options: () => ({ instrumentation: nothing }) },
  { name: "openTelemetry(), no SDK", options: () => ({ instrumentation: openTelemetry() }) },
  {
    name: "openTelemetry(), its SDK",
    options: () => ({ instrumentation: openTelemetry({ tracerProvider, meterProvider }) }),
    set: () => context.setGlobalContextManager(contextManager.enable()),
    unset() {
      context.disable();
      spans.reset();
    },
  },
];

async function compare(events: number): Promise<void> {
  const iterations = Math.max(20, Math.round(2_000 / events));
  const signed = () => {
    const { method, headers, body } = signToloka({
      secret: SECRET,
      events: Array.from({ length: events }, (_, i) =>
        tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: `assignment-${i % 20}` }),
      ),
    });
    return { method, headers: new Headers(headers), body: Buffer.from(body) };
  };
  let deliveries: ReturnType<typeof signed>[] = [];
  let prepared = -1;
  const deliveriesOf = channel("crowdhook:delivery");
  let heard = 0;
  const run = async ({ options, subscribed, set, unset }: Side, round: number) => {
    if (prepared !== round) {
      deliveries = Array.from({ length: iterations }, signed);
      prepared = round;
    }
    // All sides are given the same: a new receiver finds none of their events done.
    const receiver = createReceiver(toloka, { secret: SECRET, ...options() });
    receiver.on("ASSIGNMENT_SUBMITTED", async () => {
      heard++;
    });
    if (subscribed) deliveriesOf.subscribe(observe);
    set?.();
    gc({ type: "minor" });
    const begin = process.cpuUsage();
    for (const delivery of deliveries) await receiver.handle(delivery);
    const { user, system } = process.cpuUsage(begin);
    unset?.();
    if (subscribed) deliveriesOf.unsubscribe(observe);
    return ((user + system) * 1000) / iterations;
  };
  const results = await interleave(SIDES, WARM_UP + ROUNDS, run);
  if (heard !== SIDES.length * iterations * (WARM_UP + ROUNDS) * events) {
    throw new Error(`${heard} events were heard`);
  }
  const times = SIDES.map((side) => (results.get(side) ?? []).slice(WARM_UP));
  for (const [i, { name }] of SIDES.entries()) {
    const took = times[i] ?? [];
    console.log(
      [
        String(events).padStart(6),
        name.padEnd(40),
        microseconds(median(took)).padStart(11),
        range(ratios(took, times[0])),
      ].join("  "),
    );
  }
}

console.log(`events  side${" ".repeat(46)}median  ratio to plain  (Node ${process.version})`);
for (const events of [1, 10, 100]) await compare(events);
if (observed === 0) throw new Error("nothing was observed");
await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
