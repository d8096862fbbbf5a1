import { type EngineContext, withDeadline } from "@crowdhook/core/sink";
import PgBoss from "pg-boss";
import type { Connected, Database } from "./database.js";
import { prepareQueue } from "./queue.js";

/** The sink's connection. It opens at its first use. */
export interface Connection {
  /** Opens the database and starts pg-boss, once. After a failure the next call tries again. */
  open(): Promise<Connected>;
  /** Does the same, and creates the queue if necessary. */
  openQueue(name: string): Promise<Connected>;
  /** Makes the next `openQueue` create the queue again. */
  forgetQueue(name: string): void;
  close(): Promise<void>;
}

/** How long to wait for a server that does not answer while the connection closes. */
const CLOSE_MS = 5_000;
/** About 100 years: pg-boss drops waiting and failed events after that. */
const FOREVER_DAYS = 36_500;

export function createConnection(
  context: EngineContext,
  schema: string,
  openDatabase: () => Promise<Database>,
): Connection {
  const { settings, closing, reportUnreachable } = context;
  const queues = new Map<string, Promise<void>>();
  let database: Promise<Database> | undefined;
  let starting: Promise<Connected> | undefined;

  async function start(): Promise<Connected> {
    database ??= openDatabase().catch((error) => {
      database = undefined;
      throw error;
    });
    const db = await database;
    const boss = new PgBoss({
      db,
      schema,
      schedule: false,
      maintenanceIntervalSeconds: Math.max(1, Math.round(settings.lease / 4)),
      archiveCompletedAfterSeconds: settings.retention,
      archiveFailedAfterSeconds: FOREVER_DAYS * 24 * 60 * 60,
      deleteAfterSeconds: 1,
      retentionDays: FOREVER_DAYS,
      expireInSeconds: settings.lease,
      retryLimit: settings.attempts - 1,
      retryDelay: settings.backoff,
      retryBackoff: true,
    });
    boss.on("error", reportUnreachable);
    await boss.start();
    return { db, boss };
  }

  function open(): Promise<Connected> {
    // A connection that is already open stays usable: stopping workers store their last outcomes.
    if (closing.aborted && !starting) throw new Error("The sink is closed.");
    starting ??= start().catch((error) => {
      // A PgBoss that failed to start cannot start again: the next call makes a new one.
      starting = undefined;
      throw error;
    });
    return starting;
  }

  function queueReady(connected: Connected, name: string): Promise<void> {
    const known = queues.get(name);
    if (known) return known;
    const ready = prepareQueue(connected, schema, name).catch((error) => {
      queues.delete(name);
      throw error;
    });
    queues.set(name, ready);
    return ready;
  }

  async function end(): Promise<void> {
    await starting?.then(({ boss }) => boss.stop({ graceful: false })).catch(reportUnreachable);
    await (await database)?.close();
  }

  return {
    open,
    async openQueue(name) {
      const connected = await open();
      await queueReady(connected, name);
      return connected;
    },
    forgetQueue: (name) => void queues.delete(name),
    close: () =>
      withDeadline(CLOSE_MS, end(), () => {
        throw new Error("The database did not close in time.");
      }).catch(reportUnreachable),
  };
}
