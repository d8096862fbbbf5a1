import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { bullmqSink } from "@crowdhook/bullmq";
import { type ClaimStore, memoryClaims, type ReceivedEvent } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { pgBossSink } from "@crowdhook/pg-boss";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { WorkerOptions } from "./recover-worker.js";
import {
  clock,
  factsAt,
  factsOf,
  happenAtProlific,
  happenAtToloka,
  MINUTE_MS,
  startReceiver,
  subscribePool,
} from "./recovery-platforms.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";
import { PROLIFIC_URL, startApis } from "./subscriptions-clients.js";

/** How many facts a platform makes in each test. */
const COUNT = Number(process.env.RECOVERY_EVENTS ?? 200);
const PATIENCE = { timeout: 100_000, interval: 50 };

const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const missing = redisMissing("own");
if (missing) console.warn(missing);
let redis: RedisServer;
let folder: string;
let queues = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "crowdhook-recover-"));
  if (!missing) redis = await redisServer("own");
});
afterAll(async () => {
  await redis?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Engine {
  open(queue: string): DurableSink;
  /** Returns a claim store. All processes with this engine share it. */
  claims(): ClaimStore;
}

const bullmq: Engine = {
  open: (queue) => bullmqSink({ connection: redis.url, queue }),
  claims() {
    const client = new Redis(redis.url);
    closing.push(() => client.disconnect());
    return redisClaims({
      sendCommand: (command, ...args) => client.call(command, ...args) as never,
      prefix: `claims-${queues}:`,
    });
  },
};
const pgBoss: Engine = {
  open: (queue) => pgBossSink({ dataDir: path.join(folder, queue) }),
  claims: () => memoryClaims({ clock }),
};

describe.each([
  ...(missing ? [] : [["BullMQ and Redis claims", bullmq] as const]),
  ["pg-boss on PGlite and claims in memory", pgBoss] as const,
])("%s", (_, { open, claims: openClaims }) => {
  function setUp(name: "toloka" | "prolific") {
    const handled: ReceivedEvent[] = [];
    const sink = open(`recovery${++queues}`);
    closing.push(() => sink.close());
    return {
      handled,
      sink,
      claims: openClaims(),
      async start(claims: ClaimStore) {
        const started = await startReceiver(name, handled, { sink, claims });
        closing.push(started.close);
        return started;
      },
    };
  }

  test("Prolific: every event that was lost is stored and handled once", async () => {
    const { handled, sink, claims, start } = setUp("prolific");
    prolificApi.pageSize = 100;
    const id = prolificApi.add({ event_type: "submission.status.change", target_url: PROLIFIC_URL });
    const first = await start(claims);
    await happenAtProlific(prolificApi, id, COUNT / 2, first.url);
    await first.close();
    await happenAtProlific(prolificApi, id, COUNT / 2, undefined);
    const { receiver } = await start(claims);
    sink.work(receiver, { concurrency: 10 });
    expect(await prolificClient().recover(receiver)).toMatchObject({ status: "finished", failed: 0 });
    await vi.waitFor(() => expect(handled.length).toBeGreaterThanOrEqual(COUNT), PATIENCE);
    expect(factsOf(handled)).toEqual(factsAt(prolificApi));
  });

  test.each([
    ["the claims are kept", true],
    ["the claims are lost, because the queue knows the facts", false],
  ])("Toloka: every event that was lost is stored and handled once if %s", async (_, keepsClaims) => {
    const { handled, sink, claims, start } = setUp("toloka");
    subscribePool(tolokaApi, "7");
    const first = await start(claims);
    await happenAtToloka(tolokaApi, "7", COUNT / 8, first.url);
    await first.close();
    await happenAtToloka(tolokaApi, "7", COUNT / 8, undefined);
    const { receiver } = await start(keepsClaims ? claims : memoryClaims({ clock }));
    sink.work(receiver, { concurrency: 10 });
    const result = await tolokaClient().recover(receiver);
    expect(result).toMatchObject({ status: "finished", found: COUNT, failed: 0 });
    expect(result.duplicate > 0).toBe(keepsClaims);
    await vi.waitFor(() => expect(handled.length).toBeGreaterThanOrEqual(COUNT), PATIENCE);
    expect(factsOf(handled)).toEqual(factsAt(tolokaApi));
  });
});

describe.skipIf(missing)(`a process that recovers ${missing ?? ""}`, () => {
  test("is killed, and the next recovery completes its work without running an event twice", async () => {
    tolokaApi.pageSize = 20;
    subscribePool(tolokaApi, "7");
    await happenAtToloka(tolokaApi, "7", COUNT, undefined);
    const queue = `killed${++queues}`;
    const options: WorkerOptions = {
      redis: redis.url,
      queue,
      api: tolokaApi.baseUrl,
      ahead: clock() - Date.now(),
    };
    for (let batches = 1; batches <= 2; batches++) {
      const child = spawn(
        process.execPath,
        ["--import", "tsx", "recover-worker.ts", JSON.stringify(options)],
        {
          cwd: import.meta.dirname,
          stdio: ["ignore", "pipe", process.env.WORKER_LOG ? "inherit" : "ignore"],
        },
      );
      const exit = once(child, "exit");
      let printed = 0;
      for await (const line of createInterface(child.stdout)) {
        expect(line).toBe("batch");
        if (++printed === batches) child.kill("SIGKILL");
      }
      expect(await exit).toEqual([null, "SIGKILL"]);
      // Its right to recover ends with its lease.
      const client = new Redis(redis.url);
      await client.del(...(await client.keys("*toloka/recovery*")));
      client.disconnect();
    }
    const handled: ReceivedEvent[] = [];
    const client = new Redis(redis.url);
    closing.push(() => client.disconnect());
    const sink = bullmqSink({ connection: redis.url, queue });
    closing.push(() => sink.close());
    const claims = redisClaims({ sendCommand: (command, ...args) => client.call(command, ...args) as never });
    const { receiver, close } = await startReceiver("toloka", handled, { sink, claims });
    closing.push(close);
    sink.work(receiver, { concurrency: 10 });
    const result = await tolokaClient().recover(receiver);
    // Events of the batch that was interrupted stay busy until their lease ends.
    expect(result.handled + result.duplicate + result.busy).toBe(COUNT * 4);
    expect(result.duplicate).toBeGreaterThan(0);
    for (let { busy } = result; busy > 0; await delay(1_000)) {
      expect(await receiver.recovery?.checkpoint()).toBeLessThan(clock() - MINUTE_MS);
      ({ busy } = await tolokaClient().recover(receiver));
    }
    await vi.waitFor(() => expect(handled.length).toBeGreaterThanOrEqual(COUNT * 4), PATIENCE);
    expect(factsOf(handled)).toEqual(factsAt(tolokaApi));
  });
});
