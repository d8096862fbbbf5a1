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
import type { QueueOptions } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { PGlite } from "@electric-sql/pglite";
import { Queue } from "bullmq";
import pg from "pg";
import { afterAll, afterEach, beforeAll } from "vitest";
import { postgresMissing, postgresServer } from "./postgres-server.js";
import { redisMissing, redisServer } from "./redis-server.js";
import type { Note, SinkOptions, WorkerOptions } from "./sink-worker.js";

const SECRET = "12345";
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

export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await delay(50)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} seconds`);
}

export interface Started {
  readonly child: ChildProcess;
  /** The origin of a process that receives. */
  readonly origin: string;
  readonly printed: string;
}

/** Starts a process; resolves with the first line that it prints. */
export async function start(options: Omit<WorkerOptions, "secret">): Promise<Started> {
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

export async function kill(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  if (!isOver()) {
    const exit = once(child, "exit");
    child.kill(signal);
    if (!isOver()) await exit;
  }
  return child.exitCode;
}

/** Signs and sends one delivery. Resolves with the status, or `undefined` without a complete answer. */
export async function post(origin: string, events: readonly object[]): Promise<number | undefined> {
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
export function journalOf(name: string) {
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

export async function pglite(options: QueueOptions = {}): Promise<Engine> {
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

export const ENGINES = [
  { name: "PGlite", open: pglite, missing: undefined },
  { name: "PostgreSQL", open: postgres, missing: postgresMissing("own") },
  { name: "Redis", open: redis, missing: redisMissing("own") },
];

export const idsOf = (events: readonly { uuid: string }[]) => events.map(({ uuid }) => uuid);

/** Sends deliveries of 1 to 20 events until each gets 200, and some of them once more. */
export function stream(
  lanes: number,
  random: () => number,
  signal: AbortSignal,
  origins: () => readonly string[],
) {
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
export function verdictOn(journal: Journal, rows: readonly Row[], answered: readonly string[]) {
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
