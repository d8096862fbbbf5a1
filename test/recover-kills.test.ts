import { setTimeout as delay } from "node:timers/promises";
import { bullmqSink } from "@crowdhook/bullmq";
import type { ReceivedEvent } from "@crowdhook/core";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { afterEach, expect, test, vi } from "vitest";
import { killAll, startProcess } from "./killed-process.js";
import type { WorkerOptions } from "./recover-worker.js";
import { SEED, useRecovery } from "./recovery-fixture.js";
import { clock, factsAt, factsOf, happenAtToloka, subscribePool } from "./recovery-platforms.js";
import { redisMissing, redisServer } from "./redis-server.js";
import { seededRandom } from "./seeded-random.js";
import { status } from "./subscriptions-clients.js";

const KILLS = Number(process.env.RECOVER_KILLS ?? 2);
/** How many assignments, of four facts each, are new at each kill. */
const ASSIGNMENTS = 200;
/** The longest time from a batch to the kill. A batch takes less. */
const DELAY_MAX_MS = 50;
const missing = redisMissing("own");
if (missing) console.warn(missing);

const { platforms, closing, start } = await useRecovery();
const { api, client } = platforms.toloka;
afterEach(killAll);

test.skipIf(missing)(
  `${missing ?? ""} every event runs once although ${KILLS} of two recoveries at once are killed and the API answers 429`,
  { timeout: 60_000 + KILLS * 20_000 },
  async () => {
    const random = seededRandom(SEED);
    const redis = await redisServer("own");
    closing.push(redis.close);
    const connection = new Redis(redis.url);
    closing.push(() => connection.disconnect());
    api.pageSize = 50;
    subscribePool(api, "7");
    const options: WorkerOptions = {
      redis: redis.url,
      queue: "killed",
      api: api.baseUrl,
      ahead: clock() - Date.now(),
    };
    const claims = redisClaims({
      sendCommand: (command, ...args) => connection.call(command, ...args) as never,
    });
    const sink = bullmqSink({ connection: redis.url, queue: "killed" });
    closing.push(() => sink.close());
    const handled: ReceivedEvent[] = [];
    // Before the events, so that the receiver is recoverable when they happen.
    const { receiver } = await start("toloka", handled, { sink, claims });
    await receiver.recovery?.recoverableSince();
    let killed = 0;
    for (let round = 0; killed < KILLS; round++) {
      // A recovery that ends before its kill does not count.
      expect(round).toBeLessThan(KILLS * 10);
      await happenAtToloka(api, "7", ASSIGNMENTS, undefined, SEED + round);
      for (let i = 0; i < 3; i++) api.nextHandlers.push(status(429, { "Retry-After": "0" }));
      const workers = [
        startProcess("recover-worker.ts", options),
        startProcess("recover-worker.ts", options),
      ];
      const batches = 1 + Math.floor(random() * 2);
      const recovering = workers.map(async (worker) => {
        await worker.prints((line) => line === "batch", batches);
        return worker;
      });
      const worker = await Promise.race([...recovering, Promise.all(workers.map(({ ended }) => ended))]);
      await delay(random() * DELAY_MAX_MS);
      for (const each of workers) await each.end("SIGKILL");
      if ("end" in worker && (await worker.ended) === "SIGKILL") killed++;
      // The right to recover and the claims of a batch end with their leases.
      await connection.del(...(await connection.keys("*toloka/recovery*")), "none");
    }
    api.nextHandlers.length = 0;
    sink.work(receiver, { concurrency: 10 });
    // Events of the last batches stay busy until their leases end.
    let result = await client().recover(receiver);
    for (; result.busy > 0; result = await client().recover(receiver)) await delay(1_000);
    const facts = factsAt(api);
    await vi.waitFor(() => expect(handled.length).toBeGreaterThanOrEqual(facts.length), 60_000);
    const once = new Set(factsOf(handled)).size;
    console.log(
      `${killed} kills, ${facts.length} events: ${once} handled, ${handled.length - once} twice, ${facts.length - once} missing`,
    );
    expect(factsOf(handled)).toEqual(facts);
    expect(Number(result.checkpoint)).toBe(Number(result.until));
  },
);
