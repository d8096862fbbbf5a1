import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PgBossSinkOptions } from "@crowdhook/pg-boss";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { afterEach, describe, expect, test } from "vitest";
import { type KilledProcess, killAll, startProcess } from "./killed-process.js";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { seededRandom } from "./seeded-random.js";
import type { TransactionWorkerOptions } from "./transaction-worker.js";

/** On a quiet machine a kill takes two seconds on PostgreSQL and six on PGlite, which starts slowly. */
const KILLS = {
  postgres: Number(process.env.TX_KILLS ?? 10),
  pglite: Number(process.env.TX_PGLITE_KILLS ?? 4),
};
const SEED = Number(process.env.TX_SEED ?? 20_261_128);
/** In milliseconds: how long the last process may take for an event that waits. */
const PATIENCE_PER_EVENT = 200;
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

interface Scene {
  readonly sink: PgBossSinkOptions;
  readonly kills: number;
  readonly processes: number;
  /** How many events each process stores. */
  readonly batch: number;
  open(): Promise<Database>;
}

/** Kills one process after the other while events keep coming. Resolves with the events and their rows. */
async function killAgainAndAgain(scene: Scene, file?: string) {
  const { kills, batch, open } = scene;
  const sink = { ...QUICK, ...scene.sink };
  const random = seededRandom(SEED);
  const setUp = await open();
  await setUp.query("CREATE TABLE wrote (id text)");
  await setUp.close();
  const sent: string[] = [];
  const next = async () => {
    const ids = Array.from({ length: batch }, () => randomUUID());
    const worker = start({ sink, seed: SEED + sent.length, ids, file });
    await worker.prints((line) => line === "stored");
    sent.push(...ids);
    return worker;
  };
  const workers = await Promise.all(Array.from({ length: scene.processes }, next));
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
  const last = start({ sink, seed: SEED, ids: [], counts: true, file });
  await last.prints((line) => line === `rows ${sent.length}`, 1, 60_000 + sent.length * PATIENCE_PER_EVENT);
  // The process completes its last events before it ends.
  await last.end("SIGTERM");
  const database = await open();
  const rows = file
    ? readFileSync(file, "utf8").trim().split("\n")
    : ((await database.query("SELECT id FROM wrote")) as { id: string }[]).map(({ id }) => id);
  const completed = await database.query(
    "SELECT FROM crowdhook.job WHERE state = 'completed' AND data->>'type' = 'POOL_CLOSED'",
  );
  const interrupted = await database.query("SELECT FROM crowdhook.job WHERE retry_count > 0");
  await database.close();
  const written = new Set(rows);
  console.log({
    kills,
    events: sent.length,
    rows: rows.length,
    more: rows.length - written.size,
    missing: sent.filter((id) => !written.has(id)).length,
    completed: completed.length,
    retried: interrupted.length,
  });
  // Otherwise the kills interrupted nothing.
  expect(interrupted.length).toBeGreaterThan(kills / 2);
  return { sent, rows, completed };
}

async function onPostgres(use: (scene: Scene) => Promise<void>): Promise<void> {
  const server = await postgresServer("own");
  const open = async () => {
    const client = new pg.Client(server.url);
    await client.connect();
    return { query: async (text: string) => (await client.query(text)).rows, close: () => client.end() };
  };
  await use({ sink: { connection: server.url }, kills: KILLS.postgres, processes: 3, batch: 40, open });
  await server.close();
}

async function onPglite(use: (scene: Scene) => Promise<void>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "crowdhook-tx-kills-"));
  const open = async () => {
    const db = await PGlite.create(dataDir);
    return { query: async (text: string) => (await db.query<object>(text)).rows, close: () => db.close() };
  };
  // A process handles about ten events before it is killed. More would pile up.
  await use({ sink: { dataDir }, kills: KILLS.pglite, processes: 1, batch: 10, open });
  rmSync(dataDir, { recursive: true, force: true });
}

describe.each([
  { engine: "PostgreSQL", on: onPostgres, kills: KILLS.postgres, skip: missing },
  { engine: "PGlite", on: onPglite, kills: KILLS.pglite, skip: undefined },
])("on $engine, $kills kills of workers", ({ on, kills, skip }) => {
  const limit = 240_000 + kills * 30_000;

  test.skipIf(skip)(
    `${skip ?? ""} that are transactional leave one row for each event`,
    () =>
      on(async (scene) => {
        const { sent, rows, completed } = await killAgainAndAgain(scene);
        expect(rows.sort()).toEqual(sent.sort());
        expect(completed).toHaveLength(sent.length);
      }),
    limit,
  );

  test.skipIf(skip)(
    `${skip ?? ""} that are not transactional leave at least one row for each event`,
    () =>
      on(async (scene) => {
        const folder = mkdtempSync(join(tmpdir(), "crowdhook-tx-rows-"));
        const { sent, rows } = await killAgainAndAgain(scene, join(folder, "rows"));
        rmSync(folder, { recursive: true });
        expect([...new Set(rows)].sort()).toEqual(sent.sort());
        // Otherwise the other test would show nothing.
        expect(rows.length).toBeGreaterThan(sent.length);
      }),
    limit,
  );
});
