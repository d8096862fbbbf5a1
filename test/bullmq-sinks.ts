import { randomUUID } from "node:crypto";
import { type BullmqSinkOptions, bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ListenerContext, type ReceivedEvent } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { signToloka } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { afterEach, expect, vi } from "vitest";

export const SECRET = "12345";
const NO_CONTEXT = { stale: false } as ListenerContext;
export const PATIENCE = { timeout: 60_000, interval: 20 };

const sinks: DurableSink[] = [];
export const closing: (() => unknown)[] = [];

/** Creates a sink with three attempts, one second of backoff and lease, and its own queue. */
export function open(
  options: Partial<BullmqSinkOptions> & Pick<BullmqSinkOptions, "connection">,
): DurableSink {
  const sink = bullmqSink({
    attempts: 3,
    backoff: 1,
    lease: 1,
    queue: `test_${randomUUID().replaceAll("-", "")}`,
    ...options,
  });
  sinks.push(sink);
  return sink;
}

export function eventOf(id: string, data: Record<string, unknown> = {}): ReceivedEvent {
  return { provider: "toloka", type: "POOL_CLOSED", id, occurredAt: new Date(), data };
}

export const accept = async (sink: DurableSink, ...events: ReceivedEvent[]) =>
  sink.accept(events, NO_CONTEXT);

export function deliver(sink: DurableSink, ...events: object[]) {
  return createReceiver(toloka, { secret: SECRET, sink }).handle(signToloka({ secret: SECRET, events }));
}

/** Starts a worker and records the events that it handles. */
export function work(
  sink: DurableSink,
  listener: (event: ReceivedEvent, context: ListenerContext) => unknown = () => {},
) {
  const handled: { id: string; attempt: number | undefined }[] = [];
  const receiver = createReceiver(toloka, { secret: SECRET });
  receiver.onAny((event, context) => {
    handled.push({ id: event.id, attempt: context.attempt });
    return listener(event, context);
  });
  receiver.onUnrecognized((event, context) => {
    if (event.problems.length > 0) handled.push({ id: event.id, attempt: context.attempt });
  });
  receiver.onError(() => {});
  sink.work(receiver);
  return {
    handled,
    handles: (count: number) =>
      vi.waitFor(() => expect(handled.length).toBeGreaterThanOrEqual(count), PATIENCE).then(() => handled),
  };
}

export const failedOf = (sink: DurableSink, count: number) =>
  vi.waitFor(async () => {
    const failed = await sink.failed();
    expect(failed).toHaveLength(count);
    return failed;
  }, PATIENCE);

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  vi.restoreAllMocks();
});
