import { createHash, randomUUID } from "node:crypto";
import type { EventMap, ReceivedEvent, Receiver } from "@crowdhook/core";
import {
  createLog,
  type DurableSink,
  deserializeEvent,
  type FailedEvent,
  kindOf,
  messageOf,
  type QueueOptions,
  queueSettings,
  requireWhole,
  serializeEvent,
} from "@crowdhook/core/sink";
import PgBoss from "pg-boss";
import { type Database, openPglite, openPostgres } from "./database.js";
import { type Job, startWorker, type Worker } from "./worker.js";

/** Either `connection` or `dataDir`. */
export interface PgBossSinkOptions extends QueueOptions {
  /** PostgreSQL: its URL, or what node-postgres' `Pool` takes. */
  readonly connection?: string | Readonly<Record<string, unknown>> | undefined;
  /** PGlite, which is PostgreSQL inside this process: the folder of its data. One process at a time. */
  readonly dataDir?: string | undefined;
  /** What is made in the database is made in this schema of its own. Default `"crowdhook"`. */
  readonly schema?: string | undefined;
  /**
   * For how long a worker that died keeps its events from the others, in seconds. One that lives
   * renews that. Default 60.
   */
  readonly lease?: number | undefined;
}

/** Storing a delivery may take so long; then it is to be delivered again. PGlite may have to start first. */
const ACCEPT_MS = { postgres: 3_000, pglite: 30_000 };
const CLOSED = "The sink is closed.";
/** NUL, and halves of surrogate pairs, as JSON.stringify writes them: PostgreSQL's `jsonb` has no such text. */
const UNSTORABLE = /\\u(?:0000|d[89a-f])/;
const UNSTORABLE_CHARACTERS = /\0|\p{Surrogate}/gu;
/** A server that does not answer is left like that. */
const CLOSE_MS = 5_000;
/** Sooner, pg-boss would drop events that are waiting, and forget those that failed. */
const FOREVER_DAYS = 36_500;

/**
 * A sink on pg-boss: events are rows of PostgreSQL, or of PGlite. Nothing is opened before it is used.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function pgBossSink(options: PgBossSinkOptions): DurableSink {
  const { queue, attempts, backoff, retention } = queueSettings(options);
  const { connection, dataDir, schema = "crowdhook", lease = 60 } = options;
  if ((connection === undefined) === (dataDir === undefined)) {
    throw new TypeError("pgBossSink takes either connection, for PostgreSQL, or dataDir, for PGlite.");
  }
  if (typeof schema !== "string" || !/^[a-z_]\w{0,49}$/.test(schema)) {
    throw new TypeError(`schema must be up to 50 letters, digits and "_", not ${JSON.stringify(schema)}.`);
  }
  requireWhole("lease", lease, "number of seconds");

  const log = createLog("pg-boss sink");
  const onTrouble = (error: unknown) => log("unreachable", `the database failed (${kindOf(error)}).`);
  const workers = new Map<string, Worker>();
  let database: Promise<Database> | undefined;
  let starting: Promise<Engine> | undefined;
  let closing: Promise<void> | undefined;

  function opened(): Promise<Engine> {
    // Workers that end note what became of their last events.
    if (closing && !starting) throw new Error(CLOSED);
    starting ??= start().catch((error) => {
      // pg-boss does not start twice.
      starting = undefined;
      throw error;
    });
    return starting;
  }

  async function start(): Promise<Engine> {
    database ??=
      dataDir === undefined
        ? Promise.resolve(openPostgres(connection ?? "", onTrouble))
        : openPglite(dataDir).catch((error) => {
            database = undefined;
            throw error;
          });
    const db = await database;
    const boss = new PgBoss({
      db,
      schema,
      schedule: false,
      maintenanceIntervalSeconds: Math.max(1, Math.round(lease / 4)),
      archiveCompletedAfterSeconds: retention,
      archiveFailedAfterSeconds: FOREVER_DAYS * 24 * 60 * 60,
      deleteAfterSeconds: 1,
      retentionDays: FOREVER_DAYS,
      expireInSeconds: lease,
      retryLimit: attempts - 1,
      retryDelay: backoff,
      retryBackoff: true,
    });
    boss.on("error", onTrouble);
    await boss.start();
    return { db, boss, queues: new Map() };
  }

  /** Makes the queue, where it is not there yet. */
  function queueOf(engine: Engine, name: string): Promise<void> {
    const known = engine.queues.get(name);
    if (known) return known;
    const made = makeQueue(engine, schema, name).catch((error) => {
      engine.queues.delete(name);
      throw error;
    });
    engine.queues.set(name, made);
    return made;
  }

  async function store(name: string, events: readonly ReceivedEvent[]): Promise<void> {
    const engine = await opened();
    await queueOf(engine, name);
    const kept = events.map((event) => ({
      id: jobIdOf(event),
      name,
      data: serializeEvent(event),
    }));
    let stored = 0;
    let isText = false;
    const counting = {
      async executeSql(text: string, values: unknown[]) {
        if (!isText && UNSTORABLE.test(String(values[0]))) {
          isText = true;
          return { rows: [], rowCount: 0 };
        }
        const result = await engine.db.executeSql(text, values);
        stored = result.rowCount;
        return result;
      },
    };
    await engine.boss.insert(kept, { db: counting });
    if (isText) {
      const texts = kept.map((job) => ({ ...job, data: { v: 1, json: JSON.stringify(job.data) } }));
      await engine.boss.insert(texts, { db: counting });
    }
    if (stored === kept.length) return;
    // The others are duplicates. Unless the queue is gone: then nothing is stored, and no error is given.
    const ids = [...new Set(kept.map(({ id }) => id))];
    const { rows: known } = await engine.db.executeSql(
      `SELECT id FROM ${schema}.job WHERE name = $1 AND id = ANY($2::uuid[])`,
      [name, ids],
    );
    if (known.length === ids.length) return;
    engine.queues.delete(name);
    throw new Error("Not all events were stored: the queue was removed.");
  }

  function workerOf<Events extends EventMap>(receiver: Receiver<Events>, concurrency: number): Worker {
    const name = `${queue}-${receiver.provider.name}`;
    const ready = async () => {
      const engine = await opened();
      await queueOf(engine, name);
      return engine;
    };
    return startWorker(
      {
        async fetch(batchSize) {
          const { boss, db } = await ready();
          let failure: { error: unknown } | undefined;
          const found = await boss.fetch<unknown>(name, {
            batchSize,
            includeMetadata: true,
            // pg-boss keeps what it throws to itself.
            db: {
              async executeSql(text: string, values: unknown[]) {
                try {
                  return await db.executeSql(text, values);
                } catch (error) {
                  failure = { error };
                  throw error;
                }
              },
            },
          });
          if (failure) throw failure.error;
          return found.map(({ id, data, retryCount }) => ({ id, data, attempt: retryCount + 1 }));
        },
        async complete(ids) {
          const { boss } = await ready();
          await boss.complete(name, ids as string[]);
        },
        async fail(id, error) {
          const { boss } = await ready();
          await boss.fail(name, id, { message: messageOf(error).replace(UNSTORABLE_CHARACTERS, "\ufffd") });
        },
        async renew(jobs) {
          const { db } = await ready();
          const { rows } = await db.executeSql(
            `UPDATE ${schema}.job SET started_on = now()
             WHERE name = $1 AND state = 'active'
               AND (id, retry_count) IN (SELECT * FROM unnest($2::uuid[], $3::int[]))
             RETURNING id`,
            [name, jobs.map(({ id }) => id), jobs.map(({ attempt }) => attempt - 1)],
          );
          return new Set(rows.map(({ id }) => id as string));
        },
      },
      (job: Job, signal: AbortSignal) =>
        receiver.dispatch(deserializeEvent(job.data) as ReceivedEvent<Events>, {
          signal,
          attempt: job.attempt,
        }),
      { concurrency, renewEvery: (lease * 1000) / 3 },
      onTrouble,
    );
  }

  return {
    async accept(events) {
      const [first] = events;
      if (first === undefined) return;
      if (closing) throw new Error(CLOSED);
      await within(
        dataDir === undefined ? ACCEPT_MS.postgres : ACCEPT_MS.pglite,
        store(`${queue}-${first.provider}`, events),
      );
      workers.get(first.provider)?.wake();
    },

    work(receiver, { concurrency = 1 } = {}) {
      requireWhole("concurrency", concurrency, "number");
      const { name } = receiver.provider;
      if (closing) throw new TypeError(CLOSED);
      if (workers.has(name)) throw new TypeError(`This sink works for a receiver of ${name} already.`);
      workers.set(name, workerOf(receiver, concurrency));
    },

    async failed(limit = 100) {
      requireWhole("limit", limit, "number");
      const { db } = await opened();
      const { rows } = await db.executeSql(
        `SELECT name, id, data, output, retry_count, completed_on FROM ${schema}.job
         WHERE state = 'failed' AND starts_with(name, $1)
         ORDER BY completed_on, id LIMIT $2`,
        [`${queue}-`, limit],
      );
      return rows.map((row) => failedOf(row, queue));
    },

    async replay(id) {
      const { db } = await opened();
      const [provider = "", ...rest] = String(id).split(":");
      const { rows } = await db.executeSql(
        `UPDATE ${schema}.job
         SET state = 'retry', retry_count = 0, started_on = NULL, completed_on = NULL, start_after = now()
         WHERE name = $1 AND id::text IN ($2, $3) AND state = 'failed'
         RETURNING id`,
        [`${queue}-${provider}`, uuidOf(provider, rest.join(":")), rest.join(":")],
      );
      if (rows.length > 0) workers.get(provider)?.wake();
      return rows.length > 0;
    },

    close() {
      closing ??= (async () => {
        const engine = starting;
        await Promise.all([...workers.values()].map((worker) => worker.stop()));
        const ended = async () => {
          await engine?.then(({ boss }) => boss.stop({ graceful: false })).catch(onTrouble);
          await (await database)?.close();
        };
        await within(CLOSE_MS, ended()).catch(onTrouble);
      })();
      return closing;
    },
  };
}

interface Engine {
  readonly db: Database;
  readonly boss: PgBoss;
  /** Those that are known to be there. */
  readonly queues: Map<string, Promise<void>>;
}

/** Processes that make a queue at the same time may find each other's locks. */
const TRIES = 5;

async function makeQueue({ db, boss }: Engine, schema: string, name: string): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      await boss.createQueue(name, { name });
      const { rows } = await db.executeSql(`SELECT partition_name FROM ${schema}.queue WHERE name = $1`, [
        name,
      ]);
      const table = String(rows[0]?.partition_name);
      // Without these, every fetch sorts all that waits, and every listing reads all that is done.
      await makeIndex(
        db,
        schema,
        table,
        `${table}_next`,
        "(priority DESC, created_on, id) WHERE state < 'active'",
      );
      await makeIndex(db, schema, table, `${table}_fail`, "(completed_on, id) WHERE state = 'failed'");
      break;
    } catch (error) {
      if (tried === TRIES) throw error;
    }
  }
  if (db.aloneSince === undefined) return;
  // What is active since before this process began was under way in one that is gone.
  const { rows } = await db.executeSql(
    `SELECT id FROM ${schema}.job WHERE name = $1 AND state = 'active' AND started_on < $2`,
    [name, db.aloneSince],
  );
  const orphans = rows.map(({ id }) => id as string);
  if (orphans.length > 0) {
    await boss.fail(name, orphans as unknown as string, {
      message: "The process ended while it handled the event.",
    });
  }
}

/** Looks first: even where the index is there, making it would lock the table. */
async function makeIndex(
  db: Database,
  schema: string,
  table: string,
  index: string,
  definition: string,
): Promise<void> {
  const { rows } = await db.executeSql("SELECT FROM pg_indexes WHERE schemaname = $1 AND indexname = $2", [
    schema,
    index,
  ]);
  if (rows.length > 0) return;
  await db.executeSql(`CREATE INDEX IF NOT EXISTS "${index}" ON ${schema}."${table}" ${definition}`);
}

/** An event without an id cannot be told from another. */
function jobIdOf({ provider, id }: ReceivedEvent): string {
  return id === "" ? randomUUID() : uuidOf(provider, id);
}

/**
 * A UUID that stands for an event, of version 8. Source: RFC 9562, section 5.8. Of JSON, which tells
 * halves of surrogate pairs apart; UTF-8 does not.
 */
function uuidOf(provider: string, id: string): string {
  const bytes = createHash("sha256")
    .update(JSON.stringify([provider, id]))
    .digest()
    .subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

interface FailedRow {
  readonly name: string;
  readonly id: string;
  readonly data: unknown;
  readonly output: { readonly message?: string; readonly value?: { readonly message?: string } } | null;
  readonly retry_count: number;
  readonly completed_on: Date;
}

function failedOf(
  { name, id, data, output, retry_count, completed_on }: FailedRow,
  queue: string,
): FailedEvent {
  const provider = name.slice(queue.length + 1);
  let event: ReceivedEvent;
  try {
    event = deserializeEvent(data);
  } catch {
    // Of a newer release: shown as far as it can be.
    event = {
      provider,
      type: "",
      id: "",
      occurredAt: undefined,
      data: data as Record<string, unknown>,
      problems: [],
    };
  }
  return {
    id: `${provider}:${event.id || id}`,
    event,
    // Nested, where pg-boss itself has found the worker to be gone.
    error: output?.message ?? output?.value?.message ?? "",
    attempts: retry_count + 1,
    failedAt: completed_on,
  };
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The database has not answered in time.")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
