import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ListenerContext, type ReceivedEvent } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { pgBossSink } from "@crowdhook/pg-boss";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer, queryPostgres } from "./postgres-server.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const SECRET = "12345";
const PATIENCE = { timeout: 20_000, interval: 20 };
const closing: (() => unknown)[] = [];
let printed: string[];
beforeEach(() => {
  printed = [];
  vi.spyOn(console, "error").mockImplementation((line) => void printed.push(String(line)));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  vi.restoreAllMocks();
});

function opened(sink: DurableSink): DurableSink {
  closing.push(() => sink.close());
  return sink;
}

/** Delivers events to a receiver without a worker. Returns the reply's status. */
async function deliver(sink: DurableSink, events = 1): Promise<number> {
  const receiver = createReceiver(toloka, { secret: SECRET, sink });
  const delivery = signToloka({
    secret: SECRET,
    events: Array.from({ length: events }, () => tolokaEvent("POOL_CLOSED")),
  });
  return (await receiver.handle(delivery)).status;
}

const noRedis = redisMissing("own");
if (noRedis) console.warn(noRedis);

describe.skipIf(noRedis)(`bullmqSink in a process that only receives ${noRedis ?? ""}`, () => {
  let server: RedisServer;
  let redis: Redis;
  beforeEach(async () => {
    server = await redisServer("own");
    closing.push(() => server.close());
    redis = new Redis(server.url);
    closing.push(() => redis.disconnect());
  });
  const withUser = (user: string) => server.url.replace("//", `//${user}@`);

  test.each<[string, string, number, () => Promise<string>]>([
    ["is out of memory, for one event", "OOM", 1, refuseMemory],
    ["is out of memory, for several events", "OOM", 2, refuseMemory],
    [
      "is a replica",
      "READONLY",
      1,
      async () => {
        await redis.call("REPLICAOF", "127.0.0.1", "1");
        return server.url;
      },
    ],
    [
      "forbids the commands",
      "NOPERM",
      1,
      async () => {
        await redis.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@connection", "+info");
        return withUser("app:pw");
      },
    ],
    [
      "has another password",
      "WRONGPASS",
      1,
      async () => {
        await redis.config("SET", "requirepass", "right");
        return withUser("default:wrong");
      },
    ],
  ])("logs the code when Redis %s: %s", async (_, code, events, prepare) => {
    const sink = opened(bullmqSink({ connection: await prepare() }));
    expect(await deliver(sink, events)).toBe(503);
    expect(printed).toContain(
      `crowdhook: bullmq sink: unreachable: Redis failed (${code}). Check that it runs, is reachable and accepts the commands of this app. [docs/reference/errors.md#unreachable]`,
    );
  });

  async function refuseMemory(): Promise<string> {
    await redis.config("SET", "maxmemory", "1");
    return server.url;
  }

  test("Node prints no warning when fifty deliveries at once fail on a frozen Redis", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on("warning", warned);
    closing.push(() => process.off("warning", warned));
    const sink = opened(bullmqSink({ connection: server.url }));
    expect(await deliver(sink)).toBe(200);
    const pid = Number(/process_id:(\d+)/.exec(await redis.info("server"))?.[1]);
    process.kill(pid, "SIGSTOP");
    try {
      const statuses = await Promise.all(Array.from({ length: 50 }, () => deliver(sink)));
      expect(new Set(statuses)).toEqual(new Set([503]));
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await vi.waitFor(async () => expect(await deliver(sink)).toBe(200), PATIENCE);
    expect(warnings).toEqual([]);
  });

  test("a worker renews its lease although the wall clock was set back", async () => {
    const sink = opened(bullmqSink({ connection: server.url, lease: 1 }));
    let finish = () => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const handled: { event: ReceivedEvent; context: ListenerContext }[] = [];
    const receiver = createReceiver(toloka, { secret: SECRET });
    receiver.onAny((event, context) => {
      handled.push({ event, context });
      return held;
    });
    sink.work(receiver, { concurrency: 2 });
    expect(await deliver(sink)).toBe(200);
    await vi.waitFor(() => expect(handled).toHaveLength(1), PATIENCE);
    const now = Date.now.bind(Date);
    vi.spyOn(Date, "now").mockImplementation(() => now() - 3_600_000);
    const left = async () => redis.pttl((await redis.keys("*:lock"))[0] ?? "");
    for (let renewals = 0; renewals < 5; renewals++) {
      const before = await left();
      await vi.waitFor(async () => expect(await left()).toBeLessThan(before - 50), PATIENCE);
      const low = await left();
      await vi.waitFor(async () => expect(await left()).toBeGreaterThan(low), PATIENCE);
    }
    expect(handled.map(({ context }) => context.signal.aborted)).toEqual([false]);
    finish();
  });

  test("the signal of a running event aborts when its lease is over by the wall clock", async () => {
    const sink = opened(bullmqSink({ connection: server.url, lease: 3 }));
    const aborted = new Promise((resolve) => {
      const receiver = createReceiver(toloka, { secret: SECRET });
      receiver.onError(() => {});
      receiver.onAny(async (_, { signal }) => {
        // Simulates a machine that was suspended: the monotonic clock and the timers stood still.
        const now = Date.now.bind(Date);
        vi.spyOn(Date, "now").mockImplementation(() => now() + 3_600_000);
        await new Promise((ended) => signal.addEventListener("abort", ended, { once: true }));
        resolve(signal.reason.message);
      });
      sink.work(receiver);
    });
    expect(await deliver(sink)).toBe(200);
    expect(await aborted).toMatch(/^The lease expired/);
  });
});

const noPostgres = postgresMissing("own");
if (noPostgres) console.warn(noPostgres);

describe.skipIf(noPostgres)(`pgBossSink in a process that only receives ${noPostgres ?? ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await postgresServer("own");
    await queryPostgres(server.url, "CREATE ROLE nobody LOGIN");
  });
  afterAll(() => server?.close());

  test.each<[string, string, (url: string) => string]>([
    [
      "does not exist",
      "unreachable: PostgreSQL failed (error 3D000).",
      (url) => url.replace(/postgres$/, "missing"),
    ],
    [
      "forbids the app to create tables",
      "setup: The schema crowdhook does not exist, and the role nobody may not create it.",
      (url) => url.replace("crowdhook@", "nobody@"),
    ],
  ])("logs the reason when the database %s: %s", async (_, reason, urlOf) => {
    const sink = opened(pgBossSink({ connection: urlOf(server.url) }));
    expect(await deliver(sink)).toBe(503);
    expect(printed.filter((line) => line.includes(`pg-boss sink: ${reason}`))).toHaveLength(1);
  });
});
