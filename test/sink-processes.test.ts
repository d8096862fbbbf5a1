import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FailedEvent, QueueOptions } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { PGlite } from "@electric-sql/pglite";
import { Queue } from "bullmq";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { redisMissing, redisServer } from "./redis-server.js";
import { seededRandom } from "./seeded-random.js";
import type { Note, SinkOptions, WorkerOptions } from "./sink-worker.js";

const SECRET = "12345";
const SEED = Number(process.env.SINK_SEED ?? 20_261_122);
/** How often the only process of a folder is killed. 100 kills take more than two minutes. */
const PGLITE_KILLS = Number(process.env.SINK_KILLS ?? 12);
const WORKER_KILLS = 12;
/** The time limit of every wait. */
const PATIENCE_MS = 120_000;
/** Short times, because a killed worker's events wait for its lease. Many attempts: each kill takes one. */
const QUICK = { attempts: 20, backoff: 1, lease: 2 };

let folder: string;
const children = new Set<ChildProcess>();
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "crowdhook-sinks-"));
});
afterEach(async () => {
  for (const child of children) await kill(child);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await delay(50)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} seconds`);
}

interface Started {
  readonly child: ChildProcess;
  /** The origin of a process that receives. */
  readonly origin: string;
  readonly printed: string;
}

/** Starts a process; resolves with the first line that it prints. */
async function start(options: Omit<WorkerOptions, "secret">): Promise<Started> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "sink-worker.ts", JSON.stringify({ ...options, secret: SECRET })],
    {
      cwd: fileURLToPath(new URL(".", import.meta.url)),
      // The process logs the failures that this test causes on purpose.
      stdio: ["ignore", "pipe", process.env.WORKER_LOG ? "inherit" : "ignore"],
    },
  );
  children.add(child.once("exit", () => children.delete(child)));
  for await (const printed of createInterface(child.stdout as NodeJS.ReadableStream)) {
    return { child, origin: `http://127.0.0.1:${printed}`, printed };
  }
  throw new Error("A process ended before it was ready. Set WORKER_LOG to see why.");
}

async function kill(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  if (!isOver()) {
    const exit = once(child, "exit");
    child.kill(signal);
    if (!isOver()) await exit;
  }
  return child.exitCode;
}

/** Signs and sends one delivery. Resolves with the status, or `undefined` without a complete answer. */
async function post(origin: string, events: readonly object[]): Promise<number | undefined> {
  const { method, headers, body } = signToloka({ secret: SECRET, events });
  return new Promise((resolve) => {
    const request = http.request(`${origin}/toloka-webhook`, { method, headers, agent: false });
    request.on("error", () => resolve(undefined));
    request.on("response", (response) => {
      response.on("error", () => resolve(undefined));
      response.on("end", () => resolve(response.statusCode)).resume();
    });
    request.end(body);
  });
}

/** Creates the journal of a test, in which all processes record what their listeners do. */
function journalOf(name: string) {
  const file = path.join(folder, name);
  writeFileSync(file, "");
  const read = () =>
    readFileSync(file, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => {
        const [at, note, id, attempt] = line.split(" ");
        return { at: Number(at), note: note as Note, id: id ?? "", attempt: Number(attempt) };
      });
  return {
    file,
    read,
    of: (wanted: Note) => read().filter(({ note }) => note === wanted),
    /** Resolves when each of these events has the note. */
    has: (wanted: Note, ids: readonly string[]) =>
      until(`each event ${wanted}`, () => {
        const noted = new Set(read().flatMap(({ note, id }) => (note === wanted ? [id] : [])));
        return ids.every((id) => noted.has(id)) || undefined;
      }),
  };
}
type Journal = ReturnType<typeof journalOf>;

/** An event as the engine stores it. */
interface Row {
  readonly id: string;
  readonly state: string;
  readonly completedAt: number | undefined;
}

const ROWS =
  "SELECT data->>'id' AS id, state::text AS state, completed_on FROM crowdhook.job WHERE name = $1";
const QUEUE = "crowdhook-toloka";

function rowOf({ id, state, completed_on }: { id: string; state: string; completed_on: Date | null }): Row {
  return { id, state, completedAt: completed_on === null ? undefined : Number(completed_on) };
}

/** An engine with its own store. */
interface Engine {
  readonly sink: SinkOptions;
  /** Returns all stored events. On PGlite, no process may use the folder meanwhile. */
  rows(): Promise<Row[]>;
  /** Kills and starts the server. Absent for PGlite, which has none. */
  restart?(): Promise<void>;
  close(): Promise<void>;
}

async function pglite(options: QueueOptions = {}): Promise<Engine> {
  const dataDir = path.join(folder, `pglite-${randomUUID()}`);
  return {
    sink: { engine: "pg-boss", options: { ...QUICK, ...options, dataDir } },
    async rows() {
      const db = await PGlite.create(dataDir);
      const { rows } = await db.query<Parameters<typeof rowOf>[0]>(ROWS, [QUEUE]);
      await db.close();
      return rows.map(rowOf);
    },
    close: async () => rmSync(dataDir, { recursive: true, force: true }),
  };
}

async function postgres(options: QueueOptions = {}): Promise<Engine> {
  const server = await postgresServer("own");
  return {
    sink: { engine: "pg-boss", options: { ...QUICK, ...options, connection: server.url } },
    async rows() {
      const client = new pg.Client(server.url);
      await client.connect();
      const { rows } = await client.query(ROWS, [QUEUE]);
      await client.end();
      return rows.map(rowOf);
    },
    async restart() {
      await server.control?.kill();
      await server.control?.start();
    },
    close: () => server.close(),
  };
}

async function redis(options: QueueOptions = {}): Promise<Engine> {
  const directory = mkdtempSync(path.join(folder, "redis-"));
  // With these settings Redis writes to disk before it answers.
  const durable = ["--dir", directory, "--appendonly", "yes", "--appendfsync", "always"];
  const server = await redisServer("own", ...durable);
  return {
    sink: { engine: "bullmq", options: { ...QUICK, ...options, connection: server.url } },
    async rows() {
      const queue = new Queue(QUEUE, { connection: { url: server.url } });
      const all = await queue.getJobs();
      const rows = all.map(async (job): Promise<Row> => {
        const state = await job.getState();
        return { id: job.data.id, state, completedAt: state === "completed" ? job.finishedOn : undefined };
      });
      return Promise.all(rows).finally(() => queue.close());
    },
    async restart() {
      await server.control?.stop();
      await server.control?.start();
    },
    close: () => server.close(),
  };
}

const ENGINES = [
  { name: "PGlite", open: pglite, missing: undefined },
  { name: "PostgreSQL", open: postgres, missing: postgresMissing("own") },
  { name: "Redis", open: redis, missing: redisMissing("own") },
];
const SERVERS = ENGINES.slice(1);
for (const { missing } of ENGINES) if (missing) console.warn(missing);

const idsOf = (events: readonly { uuid: string }[]) => events.map(({ uuid }) => uuid);

/** Sends deliveries of 1 to 20 events until each gets 200, and some of them once more. */
function stream(lanes: number, random: () => number, signal: AbortSignal, origins: () => readonly string[]) {
  const answered: string[] = [];
  const statuses: Record<string, number> = {};
  let over = false;
  const send = async (events: readonly { uuid: string }[]) => {
    const all = origins();
    const status = await post(all[Math.floor(random() * all.length)] ?? "", events);
    statuses[String(status)] = (statuses[String(status)] ?? 0) + 1;
    if (status !== undefined && status !== 200 && status !== 503)
      throw new Error(`A delivery got ${status}.`);
    return status;
  };
  const lane = async () => {
    while (!over) {
      const events = Array.from({ length: 1 + Math.floor(random() * 20) }, () =>
        tolokaEvent("ASSIGNMENT_SUBMITTED"),
      );
      while ((await send(events)) !== 200) await delay(20 + random() * 50, undefined, { signal });
      answered.push(...idsOf(events));
      if (random() < 0.2) await send(events);
      await delay(random() * 300);
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane));
  // `end` awaits it. Until then, a rejection must not count as unhandled.
  all.catch(() => {});
  return {
    /** The events of deliveries that got 200. */
    answered,
    statuses,
    /** Resolves when `count` events were answered with 200. */
    has: (count: number) => until("the answers", () => answered.length >= count || undefined),
    /** Starts no more deliveries. Resolves when all have got 200. */
    async end() {
      over = true;
      await all;
    },
  };
}

/** Compares the journal with the stored and the answered events. */
function verdictOn(journal: Journal, rows: readonly Row[], answered: readonly string[]) {
  const completed = new Map(rows.map(({ id, completedAt }) => [id, completedAt ?? Number.POSITIVE_INFINITY]));
  const begun = journal.of("begun");
  const succeeded = new Set(journal.of("succeeded").map(({ id }) => id));
  const ends = journal.of("succeeded").length + journal.of("failed").length;
  return {
    answered: answered.length,
    lost: answered.filter((id) => !succeeded.has(id)),
    notCompleted: rows.filter(({ completedAt }) => completedAt === undefined),
    begunAfterCompletion: begun.filter(({ id, at }) => at > (completed.get(id) ?? Number.POSITIVE_INFINITY)),
    handledTwice: journal.of("succeeded").length - succeeded.size,
    cutShort: begun.length - ends,
  };
}

test(`on PGlite, ${PGLITE_KILLS} kills of the only process lose no answered event and repeat no completed one`, {
  timeout: 120_000 + PGLITE_KILLS * 10_000,
}, async ({ signal }) => {
  const random = seededRandom(SEED);
  const engine = await pglite();
  const journal = journalOf("pglite-kills");
  const app = (seed: number) =>
    start({
      sink: engine.sink,
      journal: journal.file,
      seed,
      receives: true,
      works: 8,
      takes: [0, 60],
      failing: 0.1,
    });
  let current = await app(SEED);
  const deliveries = stream(3, random, signal, () => [current.origin]);
  // Creating the database takes some seconds.
  await deliveries.has(1);
  for (let kills = 1; kills <= PGLITE_KILLS; kills++) {
    await delay(random() * 2_500);
    await kill(current.child);
    current = await app(SEED + kills);
  }
  await deliveries.end();
  await journal.has("succeeded", deliveries.answered);
  expect(await kill(current.child, "SIGTERM")).toBe(0);
  // Events that were handled, but not completed before a kill, are handled again.
  let rows = await engine.rows();
  for (let again = 1; again <= 5 && rows.some(({ state }) => state !== "completed"); again++) {
    current = await app(SEED - again);
    await post(current.origin, [tolokaEvent("POOL_CLOSED")]);
    await delay(3_000);
    expect(await kill(current.child, "SIGTERM")).toBe(0);
    rows = await engine.rows();
  }
  const { lost, notCompleted, begunAfterCompletion, ...figures } = verdictOn(
    journal,
    rows,
    deliveries.answered,
  );
  console.log("PGlite", { kills: PGLITE_KILLS, ...figures, rows: rows.length }, deliveries.statuses);
  expect(lost).toEqual([]);
  expect(notCompleted).toEqual([]);
  expect(begunAfterCompletion).toEqual([]);
  // Otherwise the kills interrupted nothing.
  expect(figures.cutShort).toBeGreaterThan(0);
  await engine.close();
});

describe.each(SERVERS)("on $name", ({ name, open, missing }) => {
  test.skipIf(missing)(
    `${missing ?? ""} random kills of workers and a kill of the server lose no answered event and repeat no completed one`,
    { timeout: 360_000 },
    async ({ signal }) => {
      const random = seededRandom(SEED);
      const engine = await open();
      const journal = journalOf(`${name}-kills`);
      const common = { sink: engine.sink, journal: journal.file };
      const worker = (seed: number) => start({ ...common, seed, works: 4, takes: [0, 60], failing: 0.1 });
      const webs = await Promise.all([1, 2].map(() => start({ ...common, receives: true })));
      const workers = await Promise.all([1, 2, 3, 4].map((i) => worker(SEED + i)));
      const deliveries = stream(3, random, signal, () => webs.map(({ origin }) => origin));
      let restarting: Promise<void> | undefined;
      for (let kills = 1; kills <= WORKER_KILLS; kills++) {
        const i = Math.floor(random() * workers.length);
        await delay(random() * 1_000);
        await kill((workers[i] as Started).child);
        if (kills === WORKER_KILLS / 2) restarting = engine.restart?.();
        workers[i] = await worker(SEED + 10 + kills);
      }
      await restarting;
      await deliveries.end();
      await journal.has("succeeded", deliveries.answered);
      // Events that were handled, but not completed before a kill, are handled again.
      const rows = await until("all completed", async () => {
        const rows = await engine.rows();
        return rows.every(({ state }) => state === "completed") ? rows : undefined;
      });
      const exits = [...webs, ...workers].map(({ child }) => kill(child, "SIGTERM"));
      expect(await Promise.all(exits)).toEqual([0, 0, 0, 0, 0, 0]);
      const { lost, begunAfterCompletion, ...figures } = verdictOn(journal, rows, deliveries.answered);
      console.log(name, { kills: WORKER_KILLS, ...figures, rows: rows.length }, deliveries.statuses);
      expect(lost).toEqual([]);
      expect(begunAfterCompletion).toEqual([]);
      expect(figures.cutShort).toBeGreaterThan(0);
      await engine.close();
    },
  );

  test.skipIf(missing).each([
    { when: "while it is paused", takes: 3_000 },
    { when: "after its signal aborted", takes: 9_000 },
  ])(
    `${missing ?? ""} another worker takes over the event of a paused worker, whose late failure $when changes nothing`,
    { timeout: 240_000 },
    async ({ takes }) => {
      const engine = await open();
      const journal = journalOf(`${name}-paused-${takes}`);
      const common = { sink: engine.sink, journal: journal.file };
      const paused = await start({ ...common, works: 1, takes: [takes, takes], poison: "POOL_CLOSED" });
      const web = await start({ ...common, receives: true });
      const event = tolokaEvent("POOL_CLOSED");
      expect(await post(web.origin, [event])).toBe(200);
      await journal.has("begun", [event.uuid]);
      paused.child.kill("SIGSTOP");
      await start({ ...common, works: 1, takes: [6_000, 6_000] });
      await until("a second begin", () => journal.of("begun").length === 2 || undefined);
      paused.child.kill("SIGCONT");
      if (takes > 3_000) await journal.has("aborted", [event.uuid]);
      await journal.has("failed", [event.uuid]);
      await journal.has("succeeded", [event.uuid]);
      await until("completed", async () => {
        const [row] = await engine.rows();
        return row?.state === "completed" || undefined;
      });
      expect(journal.of("begun").map(({ attempt }) => attempt)).toEqual([1, 2]);
      await engine.close();
    },
  );
});

describe.each(ENGINES)("on $name", ({ name, open, missing }) => {
  test.skipIf(missing)(
    `${missing ?? ""} a third process lists and replays an event that always fails, which does not delay its siblings`,
    async () => {
      const engine = await open({ attempts: 3 });
      const journal = journalOf(`${name}-poison`);
      const options = { sink: engine.sink, journal: journal.file };
      const isFolder = engine.restart === undefined;
      const broken = { ...options, works: 4, poison: "POOL_CLOSED" };
      // Only one process can use a folder.
      const web = await start({ ...(isFolder ? broken : options), receives: true });
      const worker = isFolder ? web : await start(broken);
      const poison = tolokaEvent("POOL_CLOSED");
      const siblings = Array.from({ length: 5 }, () => tolokaEvent("ASSIGNMENT_SUBMITTED"));
      expect(await post(web.origin, [...siblings.slice(2), poison, ...siblings.slice(0, 2)])).toBe(200);
      await journal.has("succeeded", idsOf(siblings));
      await until("three attempts", () => journal.of("failed").length === 3 || undefined);
      // The process stores the outcomes before it ends.
      expect(await kill(worker.child, "SIGTERM")).toBe(0);

      const third = await start({ ...options, replays: true });
      const failed = (JSON.parse(third.printed) as FailedEvent[]).map(({ id, error, attempts, event }) => ({
        id,
        error,
        attempts,
        type: event.type,
      }));
      expect(failed).toEqual([
        {
          id: `toloka:${poison.uuid}`,
          error: "RangeError: This attempt was chosen to fail.",
          attempts: 3,
          type: "POOL_CLOSED",
        },
      ]);
      await kill(third.child, "SIGTERM");
      const repaired = await start({ ...options, works: 4, receives: isFolder });
      await journal.has("succeeded", [poison.uuid]);
      expect(await kill(repaired.child, "SIGTERM")).toBe(0);
      if (!isFolder) expect(await kill(web.child, "SIGTERM")).toBe(0);
      expect(journal.of("begun").flatMap(({ id, attempt }) => (id === poison.uuid ? [attempt] : []))).toEqual(
        [1, 2, 3, 1],
      );
      expect(journal.of("begun")).toHaveLength(9);
      expect((await engine.rows()).map(({ state }) => state)).toEqual(Array(6).fill("completed"));
      await engine.close();
    },
    240_000,
  );

  test.skipIf(missing)(
    `${missing ?? ""} a delivery is answered before its listener ends`,
    async () => {
      const engine = await open();
      const journal = journalOf(`${name}-slow`);
      const app = await start({
        sink: engine.sink,
        journal: journal.file,
        receives: true,
        works: 1,
        // Longer than the lease, so the worker has to renew it.
        takes: [5_000, 5_000],
      });
      const event = tolokaEvent("POOL_CLOSED");
      expect(await post(app.origin, [event])).toBe(200);
      await journal.has("begun", [event.uuid]);
      // The only worker is busy with the first event.
      expect(await post(app.origin, [tolokaEvent("POOL_CLOSED")])).toBe(200);
      expect(journal.of("succeeded")).toEqual([]);
      // The process waits for the running listener.
      expect(await kill(app.child, "SIGTERM")).toBe(0);
      expect(journal.read().map(({ note, id }) => [note, id])).toEqual([
        ["begun", event.uuid],
        ["succeeded", event.uuid],
      ]);
      await engine.close();
    },
    240_000,
  );
});

test("one of two processes opens a folder after a kill; the other one answers 503 until the first one ends", {
  timeout: 240_000,
}, async () => {
  const engine = await pglite();
  const journal = journalOf("pglite-two");
  const options = { sink: engine.sink, journal: journal.file, receives: true, works: 1 };
  const killed = await start(options);
  const first = tolokaEvent("POOL_CLOSED");
  expect(await post(killed.origin, [first])).toBe(200);
  await kill(killed.child);
  const two = await Promise.all([start(options), start(options)]);
  const deliveries = [tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")];
  const statuses = await Promise.all(two.map(({ origin }, i) => post(origin, deliveries.slice(i))));
  expect([...statuses].sort()).toEqual([200, 503]);
  const [winner, loser] = (statuses[0] === 200 ? two : two.reverse()) as [Started, Started];
  expect(await post(loser.origin, deliveries)).toBe(503);
  expect(await kill(winner.child, "SIGTERM")).toBe(0);
  await until("an answer", async () => (await post(loser.origin, deliveries)) === 200 || undefined);
  await journal.has("succeeded", idsOf([first, ...deliveries]));
  expect(await kill(loser.child, "SIGTERM")).toBe(0);
  expect(await engine.rows()).toHaveLength(3);
  await engine.close();
});
