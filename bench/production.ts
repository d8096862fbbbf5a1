/**
 * What each of the options for production adds to a delivery, as a ratio to the same receiver without
 * it. All sides run in the same rounds of the same process.
 */
import { channel } from "node:diagnostics_channel";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
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

setFlagsFromString("--expose-gc");
/** Before each side, so that none pays for another's garbage. */
const gc: () => void = runInNewContext("gc");

const SECRET = "12345";
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

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function compare(events: number): Promise<void> {
  const iterations = Math.max(50, Math.round(10_000 / events));
  const deliveries = Array.from({ length: iterations }, () => {
    const { method, headers, body } = signToloka({
      secret: SECRET,
      events: Array.from({ length: events }, (_, i) =>
        tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: `assignment-${i % 20}` }),
      ),
    });
    return { method, headers: new Headers(headers), body: Buffer.from(body) };
  });
  const deliveriesOf = channel("crowdhook:delivery");
  let heard = 0;
  const run = async ({ options, subscribed, set, unset }: Side) => {
    // The deliveries are the same in every round: a new receiver finds none of their events done.
    const receiver = createReceiver(toloka, { secret: SECRET, ...options() });
    receiver.on("ASSIGNMENT_SUBMITTED", async () => {
      heard++;
    });
    if (subscribed) deliveriesOf.subscribe(observe);
    set?.();
    gc();
    const begin = process.hrtime.bigint();
    for (const delivery of deliveries) await receiver.handle(delivery);
    const took = Number(process.hrtime.bigint() - begin) / iterations;
    unset?.();
    if (subscribed) deliveriesOf.unsubscribe(observe);
    return took;
  };
  const times = new Map(SIDES.map((side) => [side, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    // Each round begins with another side: what comes first is no better off, or worse, for that.
    for (const [i] of SIDES.entries()) {
      const side = SIDES[(i + round) % SIDES.length] as Side;
      const took = await run(side);
      // The first round warms up.
      if (round > 0) times.get(side)?.push(took);
    }
  }
  if (heard !== SIDES.length * iterations * (ROUNDS + 1) * events)
    throw new Error(`${heard} events were heard`);
  const plain = median(times.get(SIDES[0] as Side) ?? []);
  for (const side of SIDES) {
    const took = median(times.get(side) ?? []);
    console.log(
      `${String(events).padStart(6)}  ${side.name.padEnd(40)} ${(took / 1000).toFixed(2).padStart(9)} µs  ${(took / plain).toFixed(2).padStart(5)}`,
    );
  }
}

console.log(`events  side${" ".repeat(41)}median   ratio   (Node ${process.version})`);
for (const events of [1, 10, 100]) await compare(events);
if (observed === 0) throw new Error("nothing was observed");
await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
