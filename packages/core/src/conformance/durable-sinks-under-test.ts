import assert from "node:assert/strict";
import type { ReceivedEvent } from "../event.js";
import type { ListenerContext } from "../listeners/context.js";
import { toloka } from "../providers/toloka/index.js";
import { createReceiver } from "../receiver.js";
import type { DurableSink } from "../sinks/durable-sink.js";
import { signToloka } from "../testing.js";

/** Creates the sinks to check. They share one store, as the sinks of several processes do. It starts empty. */
export interface DurableSinksUnderTest {
  /** Creates a sink with `attempts: 3` and `backoff: 1`. The check closes the sink. */
  open(): DurableSink;
}

interface Handled {
  readonly event: ReceivedEvent;
  readonly context: ListenerContext;
}

export const SECRET = "12345";
/** The time limit for each wait. */
const PATIENCE_MS = 30_000;
export const NO_CONTEXT = { signal: new AbortController().signal, stale: false } as ListenerContext;

/** Polls `look` until it returns something other than `false`. */
export async function until<T>(expected: string, look: () => Promise<T | false>): Promise<T> {
  for (const begun = performance.now(); performance.now() - begun < PATIENCE_MS; ) {
    const found = await look();
    if (found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new assert.AssertionError({ message: `Expected ${expected} within ${PATIENCE_MS / 1000} seconds.` });
}

export function idsOf(handled: readonly Handled[]): unknown[] {
  return handled.map(({ event }) => event.id).sort();
}

export function eventFrom(data: object): ReceivedEvent {
  const [event] = toloka.parseEvents({ events: [data] }, new Headers(), Date.now()) ?? [];
  if (event === undefined) throw new TypeError("The sample is not a valid event.");
  return event as ReceivedEvent;
}

/** More levels than `JSON.stringify`, PostgreSQL or Lua in Redis can take. */
export const DEEP = 20_000;

/** Returns JSON of arrays and objects in each other, `DEEP` levels. */
export function deepJson(): string {
  return `${'[{"a":'.repeat(DEEP / 2)}"deep"${"}]".repeat(DEEP / 2)}`;
}

/** Returns what lies in the innermost object of `deepJson`, and the number of levels around it. */
export function innermost(value: unknown): unknown[] {
  let levels = 0;
  let inner = value;
  for (; typeof inner === "object" && inner !== null; levels++) inner = Object.values(inner)[0];
  return [inner, levels];
}

/** Opens one sink that stores deliveries, and one more sink for each worker. */
export function setUp(open: DurableSinksUnderTest["open"]) {
  const sink = open();
  const sinks = [sink];
  return {
    sink,
    /** Delivers the events to a new receiver, which has no claims yet. Returns the reply's status. */
    async deliver(...events: readonly object[]): Promise<number> {
      const receiver = createReceiver(toloka, { secret: SECRET, sink });
      return (await receiver.handle(signToloka({ secret: SECRET, events }))).status;
    },
    worker(concurrency = 1, listener: (event: ReceivedEvent) => unknown = () => {}) {
      const sink = open();
      sinks.push(sink);
      const handled: Handled[] = [];
      const receiver = createReceiver(toloka, { secret: SECRET });
      const listen = (event: ReceivedEvent, context: ListenerContext) => {
        handled.push({ event, context });
        return listener(event);
      };
      receiver.onAny(listen);
      receiver.onUnrecognized((event, context) =>
        event.problems.length > 0 ? listen(event, context) : undefined,
      );
      receiver.onError(() => {});
      sink.work(receiver, { concurrency });
      return {
        sink,
        handled,
        /** Resolves with the events when at least `count` of them have started. */
        handles: (count: number) => until(`${count} events`, async () => handled.length >= count && handled),
      };
    },
    close: () => Promise.all(sinks.map((sink) => sink.close())),
  };
}
