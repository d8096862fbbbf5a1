import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DurableSink } from "@crowdhook/core/sink";
import { tolokaEvent } from "@crowdhook/core/testing";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { accept, closing, deliver, eventOf, open, PATIENCE, work } from "./bullmq-sinks.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const PASSWORD = "s3same";
/** The time limit for an answer during an outage, in milliseconds. */
const SOON = 3_000;

const noServer = redisMissing("own");
if (noServer) console.warn(noServer);

describe.skipIf(noServer)(`bullmqSink during outages of Redis ${noServer ?? ""}`, () => {
  let folder: string;
  let server: RedisServer;
  let url: string;
  let printed: unknown[][];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "crowdhook-bullmq-"));
    server = await redisServer(
      "own",
      ...["--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--requirepass", PASSWORD],
    );
    url = server.url.replace("//", `//:${PASSWORD}@`);
    printed = [];
    vi.spyOn(console, "error").mockImplementation((...args) => void printed.push(args));
  });
  afterEach(async () => {
    expect(JSON.stringify(printed)).not.toMatch(new RegExp(`${PASSWORD}|127\\.0\\.0\\.1`));
    await server.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  /** Delivers while Redis is unreachable, and expects 503 in time. */
  async function expectRefusal(sink: DurableSink): Promise<void> {
    const begin = performance.now();
    const reply = await deliver(sink, tolokaEvent("POOL_CLOSED"));
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([503, "SINK_UNAVAILABLE"]);
    const error = await accept(sink, eventOf("a")).catch((error: unknown) => error);
    expect(String(error)).toMatch(/^Error: Redis failed \([\w ]+\)\.$/);
    expect(performance.now() - begin).toBeLessThan(2 * SOON);
  }
  async function expectToWork(sink: DurableSink, handled: readonly { id: string }[]): Promise<void> {
    const event = tolokaEvent("POOL_CLOSED");
    await vi.waitFor(async () => expect((await deliver(sink, event)).status).toBe(200), PATIENCE);
    const ids = () => handled.map(({ id }) => id);
    await vi.waitFor(() => expect(ids()).toContain(event.uuid), PATIENCE);
  }

  test("deliveries get 503 while Redis is down from the start, and succeed once it runs", async () => {
    await server.control?.stop();
    const sink = open({ connection: url });
    const { handled } = work(sink);
    await expectRefusal(sink);
    await server.control?.start();
    await expectToWork(sink, handled);
    expect(printed.length).toBeLessThan(5);
  });

  test("deliveries get 503 while Redis is stopped, and succeed once it is back", async () => {
    const sink = open({ connection: url });
    const { handled } = work(sink);
    await expectToWork(sink, handled);
    await server.control?.stop();
    await expectRefusal(sink);
    await server.control?.start();
    await expectToWork(sink, handled);
  });

  test.each([true, false])(
    "deliveries get 503 while Redis is frozen, and succeed afterwards (sink used before: %s)",
    async (used) => {
      const sink = open({ connection: url });
      const { handled } = work(sink);
      if (used) await expectToWork(sink, handled);
      const pid = await processOf();
      process.kill(pid, "SIGSTOP");
      try {
        await expectRefusal(sink);
      } finally {
        process.kill(pid, "SIGCONT");
      }
      await expectToWork(sink, handled);
    },
  );

  async function processOf(): Promise<number> {
    const client = new Redis(url);
    const info = await client.info("server");
    client.disconnect();
    return Number(/process_id:(\d+)/.exec(info)?.[1]);
  }

  /**
   * Makes Redis rewrite its append-only file. If a kill cut that file off in the middle of a transaction,
   * Redis 7.0.15 removes only the incomplete command at its next start. At the start after that, it runs
   * the incomplete transaction.
   */
  async function rewriteAppendOnlyFile(): Promise<void> {
    const client = new Redis(url);
    try {
      await client.bgrewriteaof();
      await vi.waitFor(async () => {
        expect(await client.info("persistence")).toMatch(
          /aof_rewrite_in_progress:0.*aof_rewrite_scheduled:0.*aof_last_bgrewrite_status:ok/s,
        );
      }, PATIENCE);
    } finally {
      client.disconnect();
    }
  }

  test("kills of Redis leave each delivery stored whole or not at all, and each accepted one whole", async () => {
    const sink = open({ connection: url, queue: "killed" });
    const ROUNDS = 8;
    const accepted: string[] = [];
    let sent = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await vi.waitFor(() => accept(sink, eventOf(`round ${round}`)), PATIENCE);
      let alive = true;
      const lane = async () => {
        while (alive) {
          const delivery = `${sent++}`;
          const events = Array.from({ length: 100 }, (_, i) =>
            eventOf(`${delivery}/${i}`, { at: "x".repeat(300) }),
          );
          await accept(sink, ...events).then(
            () => accepted.push(delivery),
            () => {
              alive = false;
            },
          );
        }
      };
      const lanes = Array.from({ length: 8 }, lane);
      const goal = accepted.length + 20 + 7 * round;
      await vi.waitFor(() => expect(accepted.length).toBeGreaterThan(goal), { timeout: 60_000, interval: 1 });
      await server.control?.stop();
      await Promise.all(lanes);
      await server.control?.start();
      await rewriteAppendOnlyFile();
    }
    const jobs = new Queue("killed-toloka", { connection: { url } });
    closing.push(() => jobs.close());
    const stored = new Map<string, number>();
    for (const { data } of await jobs.getWaiting()) {
      const [delivery, i] = (data.id as string).split("/");
      if (i !== undefined) stored.set(delivery as string, (stored.get(delivery as string) ?? 0) + 1);
    }
    const torn = [...stored].filter(([, count]) => count !== 100);
    console.log(
      `${ROUNDS} kills: ${sent} deliveries of 100 events sent, ${accepted.length} accepted, ${stored.size} stored, ${torn.length} torn`,
    );
    expect(torn).toEqual([]);
    expect(accepted.filter((delivery) => !stored.has(delivery))).toEqual([]);
  }, 120_000);

  test("deliveries succeed after Redis refused or forgot the scripts", async () => {
    const sink = open({ connection: url });
    const client = new Redis(url);
    closing.push(() => client.disconnect());
    await client.config("SET", "maxmemory", "1");
    await expect(accept(sink, eventOf("a"))).rejects.toThrow(/EXECABORT|OOM/);
    await client.config("SET", "maxmemory", "0");
    await vi.waitFor(() => accept(sink, eventOf("a")), PATIENCE);
    await client.script("FLUSH");
    await vi.waitFor(() => accept(sink, eventOf("b")), PATIENCE);
    expect((await work(sink).handles(2)).map(({ id }) => id).sort()).toEqual(["a", "b"]);
  });

  test.each(["stopped", "frozen"])(
    "close ends while Redis is %s, and the worker starts no more events",
    async (how) => {
      const sink = open({ connection: url });
      let finish = () => {};
      const { handles } = work(sink, () => new Promise<void>((resolve) => (finish = resolve)));
      await accept(sink, eventOf("a"), eventOf("b"));
      await handles(1);
      const pid = await processOf();
      if (how === "stopped") await server.control?.stop();
      else process.kill(pid, "SIGSTOP");
      let closed = false;
      const closing = sink.close().then(() => (closed = true));
      const begin = performance.now();
      // close waits for the running listener without a time limit.
      await expectRejection(accept(sink, eventOf("c")));
      expect(closed).toBe(false);
      finish();
      await closing;
      console.log(`closed ${Math.round(performance.now() - begin)} ms after Redis was ${how}`);
      expect(performance.now() - begin).toBeLessThan(15_000);
      expect((await handles(1)).length).toBe(1);
      if (how === "frozen") process.kill(pid, "SIGCONT");
    },
  );

  const expectRejection = (promise: Promise<unknown>) => expect(promise).rejects.toThrow();
});
