import { randomUUID } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { durableSinkChecks } from "../src/conformance.js";
import type { ReceivedEvent } from "../src/event.js";
import type { ListenerContext } from "../src/listeners/context.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import {
  createDurableSink,
  type DurableSink,
  deduplicationKey,
  deserializeEvent,
  type EngineContext,
  type EngineDefinition,
  type QueueEngine,
  type QueueOptions,
} from "../src/sink.js";

interface Job {
  readonly provider: string;
  readonly id: string;
  readonly text: string;
  state: "waiting" | "running" | "failed" | "done";
  attempts: number;
  error: string;
  failedAt: Date;
}

/** The smallest complete engine: its store is a map, and a failed attempt is retried at once. */
function memoryEngine({ settings, messageOf }: EngineContext, jobs: Map<string, Job>): QueueEngine {
  return {
    async store(provider, events) {
      // Serialize all events before storing one: JSON.stringify can throw.
      const texts = events.map((event) => JSON.stringify(event));
      for (const [i, event] of events.entries()) {
        const id = deduplicationKey(event) || randomUUID();
        const job = { provider, id, text: texts[i] ?? "", attempts: 0, error: "", failedAt: new Date(0) };
        const key = `${provider}:${id}`;
        if (!jobs.has(key)) jobs.set(key, { ...job, state: "waiting" });
      }
    },
    work(provider, run, concurrency) {
      const running = new Set<Promise<void>>();
      let stopped = false;
      const attempt = async (job: Job) => {
        job.state = "running";
        job.attempts++;
        const { signal } = new AbortController();
        await run(JSON.parse(job.text), { signal, attempt: job.attempts }).then(
          () => {
            job.state = "done";
          },
          (error) => {
            job.state = job.attempts < settings.attempts ? "waiting" : "failed";
            job.error = messageOf(error);
            job.failedAt = new Date();
          },
        );
      };
      const fill = () => {
        for (const job of jobs.values()) {
          if (stopped || running.size >= concurrency) return;
          if (job.provider !== provider || job.state !== "waiting") continue;
          const attempted = attempt(job).finally(() => running.delete(attempted));
          running.add(attempted);
        }
      };
      const timer = setInterval(fill, 5);
      return {
        wake: fill,
        async stop() {
          stopped = true;
          clearInterval(timer);
          await Promise.all(running);
        },
      };
    },
    async failed() {
      const failed = [...jobs.values()].filter(({ state }) => state === "failed");
      return failed.map(({ id, text, ...job }) => ({ ...job, jobId: id, data: JSON.parse(text) }));
    },
    async replay(provider, eventId) {
      const job = jobs.get(`${provider}:${eventId}`);
      if (job?.state !== "failed") return false;
      job.state = "waiting";
      job.attempts = 0;
      return true;
    },
    async discard(provider, eventId) {
      const key = `${provider}:${eventId}`;
      return jobs.get(key)?.state === "failed" && jobs.delete(key);
    },
    async ready() {},
    async close() {},
  };
}

function memorySink(
  options: QueueOptions = {},
  jobs = new Map<string, Job>(),
  overrides: Partial<EngineDefinition> & { readonly engine?: Partial<QueueEngine> } = {},
): DurableSink {
  const { engine, ...definition } = overrides;
  return createDurableSink(options, {
    name: "memory sink",
    server: "The memory",
    createEngine: (context) => ({ ...memoryEngine(context, jobs), ...engine }),
    ...definition,
  });
}

const NO_CONTEXT = {} as ListenerContext;
const eventOf = (id: string): ReceivedEvent => ({
  provider: "toloka",
  type: "POOL_CLOSED",
  id,
  occurredAt: new Date(),
  data: {},
});

describe("a sink on an engine of five methods meets the conformance checks", () => {
  const jobs = new Map<string, Job>();
  test.each(durableSinkChecks)("$name", ({ check }) =>
    check({ open: () => memorySink({ attempts: 3, backoff: 1 }, jobs) }),
  );
});

describe("createDurableSink", () => {
  test.each([
    ["queue", { queue: "a-b" }],
    ["attempts", { attempts: 0 }],
    ["backoff", { backoff: 0.5 }],
    ["retention", { retention: "7" as never }],
    ["lease", { lease: Number.NaN }],
  ])("throws for an invalid %s", (option, options) => {
    expect(() => memorySink(options)).toThrow(new RegExp(`^${option} must be`));
  });

  test("accept rejects when the engine takes longer than storeTimeout", async () => {
    const engine = { store: () => new Promise<void>(() => {}) };
    const sink = memorySink({}, undefined, { storeTimeout: 1, engine });
    await expect(async () => sink.accept([eventOf("a")], NO_CONTEXT)).rejects.toThrow(
      "The memory has not answered within 0 seconds. Check that it runs, is reachable and accepts the commands of this app.",
    );
  });

  test("a process that only receives logs the code of the error with which storing failed", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const sink = memorySink({}, undefined, {
      codeOf: () => "42501",
      engine: { store: () => Promise.reject(new Error("a password")) },
    });
    await expect(async () => sink.accept([eventOf("a")], NO_CONTEXT)).rejects.toThrow("a password");
    expect(log.mock.calls.flat()).toEqual([
      "crowdhook: memory sink: unreachable: The memory failed (42501). Check that it runs, is reachable and accepts the commands of this app. [docs/reference/errors.md#unreachable]",
    ]);
    log.mockRestore();
  });

  const circular: Record<string, unknown> = {};
  circular.itself = circular;
  test.each<[string, Partial<ReceivedEvent>]>([
    ["a bigint", { data: { big: 1n } }],
    ["an object that contains itself", { data: circular }],
    ["an invalid time", { occurredAt: new Date(Number.NaN) }],
  ])("an event with %s is stored without its data, and the event after it is stored", async (_, odd) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const jobs = new Map<string, Job>();
    const sink = memorySink({}, jobs);
    await sink.accept([{ ...eventOf("odd"), ...odd } as ReceivedEvent, eventOf("usual")], NO_CONTEXT);
    const [stored, usual] = [...jobs.values()].map(({ text }) => deserializeEvent(JSON.parse(text)));
    expect(stored).toMatchObject({ id: "odd", type: "POOL_CLOSED", data: {} });
    expect(stored?.problems?.[0]).toMatch(/^JSON cannot represent the event: \w+Error: /);
    expect(usual).toMatchObject({ id: "usual" });
    expect(log.mock.calls.join()).toContain('unserializable: JSON cannot represent event "odd"');
    log.mockRestore();
  });

  test("work throws for a second receiver of one provider", async () => {
    const sink = memorySink();
    const receiver = createReceiver(toloka, { secret: "12345" });
    sink.work(receiver);
    expect(() => sink.work(receiver)).toThrow("already works for a receiver of toloka");
    await sink.close();
  });

  test("all methods fail after close, and close ends the engine once, after its workers", async () => {
    const calls: string[] = [];
    const sink = memorySink({}, undefined, {
      engine: {
        work: () => ({ stop: async () => void calls.push("stop") }),
        close: async () => void calls.push("close"),
      },
    });
    const receiver = createReceiver(toloka, { secret: "12345" });
    sink.work(receiver);
    await Promise.all([sink.close(), sink.close()]);
    expect(calls).toEqual(["stop", "close"]);
    await expect(async () => sink.accept([eventOf("a")], NO_CONTEXT)).rejects.toThrow("closed");
    await expect(sink.failed()).rejects.toThrow("closed");
    await expect(sink.replay("toloka:a")).rejects.toThrow("closed");
    expect(() => sink.work(receiver)).toThrow("closed");
  });

  test("failed sorts by time, applies the limit and shows an event that it cannot read", async () => {
    const failure = { provider: "toloka", error: "broken", attempts: 1 };
    const sink = memorySink({}, undefined, {
      engine: {
        failed: async () => [
          { ...failure, jobId: "3", data: { v: 1 }, failedAt: new Date(3) },
          { ...failure, jobId: "2", data: { v: 2 }, type: "POOL_CLOSED", failedAt: new Date(2) },
          { ...failure, jobId: "1", data: { v: 2 }, failedAt: new Date(1) },
        ],
      },
    });
    const failed = await sink.failed(2);
    expect(failed.map(({ id, event }) => [id, event.type, event.data])).toEqual([
      ["toloka:1", "", { v: 2 }],
      ["toloka:2", "POOL_CLOSED", { v: 2 }],
    ]);
  });

  test("the log names each code of an error once a minute, and never a message", () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    let context: EngineContext | undefined;
    memorySink({}, undefined, {
      codeOf: (error) => (error instanceof RangeError ? "E_RANGE" : undefined),
      createEngine: (given) => {
        context = given;
        return memoryEngine(given, new Map());
      },
    });
    for (const error of [new RangeError("a password"), new RangeError("a password"), new TypeError()])
      context?.reportUnreachable(error);
    expect(log.mock.calls.flat()).toEqual(
      ["E_RANGE", "TypeError"].map(
        (code) =>
          `crowdhook: memory sink: unreachable: The memory failed (${code}). Check that it runs, is reachable and accepts the commands of this app. [docs/reference/errors.md#unreachable]`,
      ),
    );
    expect(context?.codeOf(new TypeError("a password"))).toBe("TypeError");
    expect(context?.messageOf(new TypeError("x".repeat(9_000)))).toBe(`TypeError: ${"x".repeat(1_989)}`);
    expect(context?.queueName("toloka")).toBe("crowdhook-toloka");
    log.mockRestore();
  });
});
