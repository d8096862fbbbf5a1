import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PgBossSinkOptions } from "@crowdhook/pg-boss";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { type KilledProcess, killAll, startProcess } from "./killed-process.js";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { seededRandom } from "./seeded-random.js";
import type { TransactionWorkerOptions } from "./transaction-worker.js";

/** 300 kills on PostgreSQL take ten minutes, 100 on PGlite five. */
const KILLS = {
  postgres: Number(process.env.TX_KILLS ?? 20),
  pglite: Number(process.env.TX_PGLITE_KILLS ?? 8),
};
const SEED = Number(process.env.TX_SEED ?? 20_261_128);
const BATCH = 40;
/** Many attempts, because each kill takes one. */
const QUICK = { attempts: 1_000, backoff: 1, lease: 2 };
const missing = postgresMissing("own");
if (missing) console.warn(missing);

afterEach(killAll);

const start = (options: TransactionWorkerOptions) => startProcess("transaction-worker.ts", options);

interface Database {
  query(text: string): Promise<object[]>;
  close(): Promise<void>;
}

/** Kills one process after the other while events keep coming, and compares the rows with the events. */
async function killAgainAndAgain(
  sink: PgBossSinkOptions,
  kills: number,
  workersAtOnce: number,
  open: () => Promise<Database>,
): Promise<void> {
  const random = seededRandom(SEED);
  const setUp = await open();
  await setUp.query("CREATE TABLE wrote (id text)");
  await setUp.close();
  const sent: string[] = [];
  const next = async () => {
    const ids = Array.from({ length: BATCH }, () => randomUUID());
    const worker = start({ sink: { ...QUICK, ...sink }, seed: SEED + sent.length, ids });
    await worker.prints((line) => line === "stored");
    sent.push(...ids);
    return worker;
  };
  const workers = await Promise.all(Array.from({ length: workersAtOnce }, next));
  for (let kill = 0; kill < kills; kill++) {
    const i = Math.floor(random() * workers.length);
    const worker = workers[i] as KilledProcess;
    // Then a listener has just begun, and its transaction is open. Unless all events are handled.
    const begun = worker.prints((line) => line === "begun", 1 + Math.floor(random() * 10)).catch(() => {});
    await Promise.race([begun, delay(3_000)]);
    await delay(random() * 25);
    await worker.end("SIGKILL");
    workers[i] = await next();
  }
  await Promise.all(workers.map((worker) => worker.end("SIGTERM")));
  const last = start({ sink: { ...QUICK, ...sink }, seed: SEED, ids: [], counts: true });
  await last.prints((line) => line === `rows ${sent.length}`);
  // The process completes its last events before it ends.
  await last.end("SIGTERM");
  const database = await open();
  const rows = (await database.query("SELECT id FROM wrote")) as { id: string }[];
  const completed = await database.query(
    "SELECT FROM crowdhook.job WHERE state = 'completed' AND data->>'type' = 'POOL_CLOSED'",
  );
  const interrupted = await database.query("SELECT FROM crowdhook.job WHERE retry_count > 0");
  await database.close();
  console.log({
    kills,
    events: sent.length,
    rows: rows.length,
    completed: completed.length,
    retried: interrupted.length,
  });
  expect(rows.map(({ id }) => id).sort()).toEqual([...sent].sort());
  expect(completed).toHaveLength(sent.length);
  // Otherwise the kills interrupted nothing.
  expect(interrupted.length).toBeGreaterThan(kills / 2);
}

test.skipIf(missing)(
  `${missing ?? ""} on PostgreSQL, ${KILLS.postgres} kills of transactional workers leave one row for each event`,
  async () => {
    const server = await postgresServer("own");
    await killAgainAndAgain({ connection: server.url }, KILLS.postgres, 3, async () => {
      const client = new pg.Client(server.url);
      await client.connect();
      return {
        query: async (text) => (await client.query(text)).rows,
        close: () => client.end(),
      };
    });
    await server.close();
  },
  120_000 + KILLS.postgres * 10_000,
);

test(
  `on PGlite, ${KILLS.pglite} kills of the only process leave one row for each event`,
  async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "crowdhook-tx-kills-"));
    await killAgainAndAgain({ dataDir }, KILLS.pglite, 1, async () => {
      const db = await PGlite.create(dataDir);
      return {
        query: async (text) => (await db.query<object>(text)).rows,
        close: () => db.close(),
      };
    });
    rmSync(dataDir, { recursive: true, force: true });
  },
  180_000 + KILLS.pglite * 20_000,
);
