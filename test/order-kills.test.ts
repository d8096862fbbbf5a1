import { setTimeout as delay } from "node:timers/promises";
import { createReceiver, type ReceivedEvent } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { pgBossSink } from "@crowdhook/pg-boss";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { type KilledProcess, killAll, startProcess } from "./killed-process.js";
import type { OrderWorkerOptions } from "./order-worker.js";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { seededRandom } from "./seeded-random.js";

const number = (name: string, standard: number) => Number(process.env[name] ?? standard);
const WORKERS = number("ORDER_WORKERS", 3);
const KEYS = number("ORDER_KEYS", 50);
const EVENTS = number("ORDER_EVENTS", 600);
const KILLS = number("ORDER_KILLS", 6);
const SEED = number("ORDER_SEED", 20_261_128);
const BATCH = 40;
const SECRET = "12345";
/** Many attempts, because each kill takes one. */
const QUICK = { attempts: 1_000, backoff: 1, lease: 2 };
const missing = postgresMissing("own");
if (missing) console.warn(missing);

afterEach(killAll);

const keyOf = (event: ReceivedEvent) => (event.data as { pool_id: string }).pool_id;

/** Returns deliveries of events with random keys, and how many events each key has. */
function deliveries(random: () => number) {
  const sizes = new Map<string, number>();
  const events = Array.from({ length: EVENTS }, () => {
    const key = `pool ${Math.floor(random() * KEYS)}`;
    const sequence = sizes.get(key) ?? 0;
    sizes.set(key, sequence + 1);
    return tolokaEvent("POOL_CLOSED", { pool_id: key, project_id: `${sequence}` });
  });
  const batches = Array.from({ length: Math.ceil(EVENTS / BATCH) }, (_, i) =>
    events.slice(i * BATCH, (i + 1) * BATCH),
  );
  return { batches, sizes };
}

test.skipIf(missing)(
  `${missing ?? ""} ${WORKERS} workers handle ${EVENTS} events of ${KEYS} keys in order in spite of ${KILLS} kills`,
  async () => {
    const random = seededRandom(SEED);
    const server = await postgresServer("own");
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query(
      `CREATE TABLE handled (place serial, key text, sequence int, before int);
       CREATE INDEX ON handled (key)`,
    );
    const options = { connection: server.url, ...QUICK };
    const sink = pgBossSink({ ...options, orderingKey: keyOf });
    const web = createReceiver(toloka, { secret: SECRET, sink });
    const { batches, sizes } = deliveries(random);
    let started = 0;
    const start = () =>
      startProcess("order-worker.ts", {
        sink: options,
        seed: SEED + ++started,
      } satisfies OrderWorkerOptions);
    const workers: KilledProcess[] = Array.from({ length: WORKERS }, start);
    const begun = performance.now();

    let stored = 0;
    const storing = (async () => {
      for (const events of batches) {
        const { status } = await web.handle(signToloka({ secret: SECRET, events }));
        if (status !== 200) throw new Error(`A delivery got ${status}.`);
        stored += events.length;
      }
    })();
    const handled = async () => Number((await client.query("SELECT count(*) FROM handled")).rows[0].count);
    let kills = 0;
    // The kills are spread over the time in which events are handled.
    for (let count = 0, shown = 0; count < EVENTS; count = await handled()) {
      if (performance.now() - shown > 10_000) {
        shown = performance.now();
        const seconds = Math.round((shown - begun) / 1000);
        console.log({ seconds, stored, handled: count, kills });
      }
      if (kills > (count / EVENTS) * KILLS || kills === KILLS) {
        await delay(100);
        continue;
      }
      const i = Math.floor(random() * WORKERS);
      const worker = workers[i] as KilledProcess;
      // Then a listener has just begun, and its transaction is open. Unless no event is left.
      const next = worker.prints((line) => line === "begun", 1 + Math.floor(random() * 10)).catch(() => {});
      await Promise.race([next, delay(3_000)]);
      await delay(random() * 10);
      await worker.end("SIGKILL");
      workers[i] = start();
      kills++;
    }
    await storing;
    // The workers complete their last events before they end.
    await Promise.all(workers.map((worker) => worker.end("SIGTERM")));

    const { rows: keys } = await client.query(
      `SELECT key, array_agg(sequence ORDER BY place) AS sequences, array_agg(before ORDER BY place) AS before
       FROM handled GROUP BY key`,
    );
    const { rows: jobs } = await client.query(
      `SELECT count(*) FILTER (WHERE state = 'completed')::int AS completed,
         count(*) FILTER (WHERE retry_count > 0)::int AS retried FROM crowdhook.job`,
    );
    const seconds = Math.round((performance.now() - begun) / 1000);
    console.log({ seconds, keys: keys.length, kills, ...jobs[0] });
    await client.end();
    await sink.close();
    await server.close();
    expect(keys).toHaveLength(sizes.size);
    for (const { key, sequences, before } of keys) {
      const all = Array.from({ length: sizes.get(key) ?? 0 }, (_, sequence) => sequence);
      expect(sequences).toEqual(all);
      // Each listener began after all earlier events of its key were committed.
      expect(before).toEqual(all);
    }
    expect(jobs[0].completed).toBe(EVENTS);
    // Otherwise the kills interrupted nothing.
    expect(kills).toBeGreaterThan(KILLS / 2);
    expect(jobs[0].retried).toBeGreaterThan(kills / 2);
  },
  180_000 + EVENTS * 200,
);
