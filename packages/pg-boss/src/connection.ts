import { setTimeout as delay } from "node:timers/promises";
import { type EngineContext, withDeadline } from "@crowdhook/core/sink";
import { type Db, PgBoss } from "pg-boss";
import { type Database, SetupError } from "./database/database.js";
import { checkSchema } from "./schema.js";

/** A started pg-boss and its database. */
interface Connected {
  readonly db: Database;
  readonly boss: PgBoss;
}

/** The sink's connection. It opens at its first use. */
export interface Connection {
  /** Opens the database. */
  openDatabase(): Promise<Database>;
  /** Opens the database and starts pg-boss, once. After a failure the next call tries again. */
  open(): Promise<Connected>;
  /** Does the same as `open`, and creates the queue if necessary. */
  openQueue(name: string): Promise<Connected>;
  /** Makes the next `openQueue` create the queue again. */
  forgetQueue(name: string): void;
  /** Tells the workers of all processes that an event was stored in the queue. */
  announce(name: string): void;
  /** Calls `wake` when an event was stored in the queue by any process. */
  onStored(name: string, wake: () => void): void;
  /** Whether `onStored` works. Otherwise workers have to poll. */
  isNotified(): boolean;
  close(): Promise<void>;
}

/** How long to wait for a server that does not answer while the connection closes. */
const CLOSE_MS = 5_000;
/** The least time between two notifications about a queue. */
const ANNOUNCE_MS = 20;
const DAY_S = 24 * 60 * 60;
/** The longest pause between two deletions of handled events, in seconds. */
const FORGET_S = 300;
/** The number of handled events that one statement deletes. */
const FORGET_COUNT = 10_000;

/** How pg-boss orders the jobs of a queue: not at all, or one at a time for each key. */
type QueuePolicy = "standard" | "key_strict_fifo";

/** @param prefix The beginning of the names of this sink's queues. */
export function createConnection(
  context: EngineContext,
  schema: string,
  openDatabase: () => Promise<Database>,
  prefix: string,
  policy: QueuePolicy,
): Connection {
  const { settings, closing, reportUnreachable } = context;
  const queues = new Map<string, Promise<void>>();
  const wakers = new Map<string, () => void>();
  /** Queues with a notification under way. `true`: another event was stored meanwhile. */
  const announcing = new Map<string, boolean>();
  let channel: string | undefined;
  let notified = false;
  let database: Promise<Database> | undefined;
  let starting: Promise<Connected> | undefined;
  let forgetting: NodeJS.Timeout | undefined;

  function openOnce(): Promise<Database> {
    database ??= openDatabase().catch((error) => {
      database = undefined;
      throw error;
    });
    return database;
  }

  /** The database with notifications that also reach this sink's own workers. */
  function notifying(db: Database): Db {
    return {
      executeSql: db.executeSql,
      async listen(name, onNotification, onReconnect) {
        channel = name;
        const handle = await db.listen(
          name,
          (queue) => {
            wakers.get(queue)?.();
            onNotification(queue);
          },
          () => {
            for (const wake of wakers.values()) wake();
            onReconnect();
          },
        );
        notified = true;
        return handle;
      },
    };
  }

  async function start(): Promise<Connected> {
    const db = await openOnce();
    const permitted = await checkSchema(db, schema);
    const interval = Math.min(DAY_S, Math.max(1, Math.round(settings.lease / 4)));
    const boss = new PgBoss({
      db: notifying(db),
      backend: db.exclusiveSince ? "pglite" : "postgres",
      schema,
      ...permitted,
      schedule: false,
      registerInstance: false,
      useListenNotify: true,
      // Finds the events of workers that died.
      superviseIntervalSeconds: interval,
      monitorIntervalSeconds: interval,
      maintenanceIntervalSeconds: DAY_S,
    });
    boss.on("error", reportUnreachable);
    try {
      await boss.start();
    } catch (error) {
      await boss.stop({ graceful: false }).catch(() => {});
      if (/requires migrations/.test(String(error))) {
        throw new SetupError(
          `The tables in ${schema} are of an older release. Run sink.migrate() with a role that may create tables there.`,
        );
      }
      throw error;
    }
    const forgetEvery = Math.max(1, Math.min(FORGET_S, settings.retention / 4)) * 1000;
    forgetting = setInterval(
      () => void forgetHandled(db, schema, prefix, settings.retention).catch(reportUnreachable),
      forgetEvery,
    ).unref();
    return { db, boss };
  }

  /**
   * Sends one notification at a time, after the events are stored. PostgreSQL commits transactions that
   * notify one after another, so notifying while storing halved the number of deliveries per second. A
   * notification that is lost delays an event until the worker polls.
   */
  async function notify(name: string): Promise<void> {
    if (announcing.has(name)) return void announcing.set(name, true);
    try {
      do {
        announcing.set(name, false);
        const { db } = await open();
        if (channel !== undefined) await db.notify(channel, name);
        await delay(ANNOUNCE_MS, undefined, { ref: false });
      } while (announcing.get(name));
    } finally {
      announcing.delete(name);
    }
  }

  function open(): Promise<Connected> {
    // A connection that is already open stays usable: stopping workers store their last outcomes.
    if (closing.aborted && !starting) throw new Error("The sink is closed.");
    starting ??= start().catch((error) => {
      starting = undefined;
      throw error;
    });
    return starting;
  }

  async function end(): Promise<void> {
    clearInterval(forgetting);
    await starting?.then(({ boss }) => boss.stop({ graceful: false })).catch(reportUnreachable);
    await (await database)?.close();
  }

  return {
    openDatabase: openOnce,
    open,
    async openQueue(name) {
      const connected = await open();
      const ready =
        queues.get(name) ??
        prepareQueue(connected, schema, name, policy).catch((error) => {
          queues.delete(name);
          throw error;
        });
      queues.set(name, ready);
      await ready;
      return connected;
    },
    forgetQueue: (name) => void queues.delete(name),
    announce: (name) =>
      void notify(name).catch((error) => {
        if (!closing.aborted) reportUnreachable(error);
      }),
    onStored: (name, wake) => void wakers.set(name, wake),
    isNotified: () => notified,
    close: () =>
      withDeadline(CLOSE_MS, end(), () => {
        throw new Error("The database did not close in time.");
      }).catch(reportUnreachable),
  };
}

async function prepareQueue(
  { db, boss }: Connected,
  schema: string,
  name: string,
  policy: QueuePolicy,
): Promise<void> {
  await boss.createQueue(name, { policy });
  if (db.exclusiveSince === undefined) return;
  // A job that was active before this process opened PGlite belongs to a dead process: no lease to wait for.
  const { rows } = await db.executeSql(
    `SELECT id, retry_count AS "retryCount" FROM ${schema}.job
     WHERE name = $1 AND state = 'active' AND started_on < $2`,
    [name, db.exclusiveSince],
  );
  if (rows.length === 0) return;
  await boss.fail(name, rows, { message: "The process ended while it handled the event." });
}

/** Deletes events that were handled longer than `retention` ago, in seconds. */
async function forgetHandled(db: Database, schema: string, prefix: string, retention: number): Promise<void> {
  await db.executeSql(
    `DELETE FROM ${schema}.job WHERE (name, id) IN (
       SELECT name, id FROM ${schema}.job
       WHERE name IN (SELECT name FROM ${schema}.queue WHERE starts_with(name, $1))
         AND completed_on < now() - $2 * interval '1 second' AND state = 'completed'
       LIMIT ${FORGET_COUNT} FOR UPDATE SKIP LOCKED
     )`,
    [prefix, retention],
  );
}
