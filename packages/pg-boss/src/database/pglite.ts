import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { mkdir, realpath, stat } from "node:fs/promises";
import type { PGlite } from "@electric-sql/pglite";
import { type Database, whileOpen } from "./database.js";
import { lockFolder } from "./folder-lock.js";

/** The open folders of this process, by device and inode: its sinks share them. */
const open = new Map<string, { users: number; database: Promise<Database> }>();

/**
 * Opens PGlite (PostgreSQL inside this process) on a folder.
 *
 * @throws SetupError if another process uses the folder: two processes would overwrite each other's data.
 */
export async function openPglite(dataDir: string): Promise<Database> {
  await mkdir(dataDir, { recursive: true });
  const path = await realpath(dataDir);
  const { dev, ino } = await stat(path, { bigint: true });
  const key = `${dev}:${ino}`;
  const entry = open.get(key) ?? { users: 0, database: startPglite(path) };
  open.set(key, entry);
  entry.users++;
  const leave = async () => {
    if (--entry.users > 0) return;
    open.delete(key);
    await (await entry.database).close();
  };
  try {
    return { ...(await entry.database), close: leave };
  } catch (error) {
    entry.users--;
    if (open.get(key) === entry) open.delete(key);
    throw error;
  }
}

async function startPglite(path: string): Promise<Database> {
  const lock = await lockFolder(path);
  try {
    const { PGlite } = await import("@electric-sql/pglite");
    const db = await PGlite.create(path);
    const { rows } = await db.query<{ now: Date }>("SELECT now()");
    return databaseOn(db, lock, rows[0]?.now);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function databaseOn(
  db: PGlite,
  lock: Awaited<ReturnType<typeof lockFolder>>,
  exclusiveSince: Date | undefined,
): Database {
  /** The transaction that the running code is part of. */
  const current = new AsyncLocalStorage<{ isOpen: boolean }>();
  // Each sink of the folder listens. Node warns of a leak above ten listeners.
  const notifications = new EventEmitter().setMaxListeners(0);

  /** Fails instead of waiting for a transaction that waits for this statement. */
  function requireSession(): void {
    lock.requireHeld();
    if (current.getStore()?.isOpen) {
      throw new Error(
        "A transactional listener used the sink, which waits for the listener: PGlite has one connection. Use context.tx, or use the sink after the listener.",
      );
    }
  }

  return {
    async executeSql(text, values) {
      requireSession();
      if (values && values.length > 0) return { rows: (await db.query(text, values)).rows };
      try {
        return { rows: (await db.exec(text)).flatMap(({ rows }) => rows ?? []) };
      } catch (error) {
        // PGlite has one session: end this statement's transaction before the next statement.
        await db.exec("ROLLBACK");
        throw error;
      }
    },
    async transaction(run, timeLimit) {
      requireSession();
      return db.transaction(async (tx) => {
        const state = { isOpen: true };
        try {
          const result = await current.run(state, () => whileOpen(tx, run, timeLimit, lock.requireHeld));
          lock.requireHeld();
          return result;
        } finally {
          state.isOpen = false;
        }
      });
    },
    reserve: () => 1,
    // All subscribers are in this process, so notifications need no statement.
    async listen(channel, onNotification, onReconnect) {
      notifications.on(channel, onNotification);
      onReconnect();
      return { close: async () => void notifications.off(channel, onNotification) };
    },
    notify: async (channel, payload) => void notifications.emit(channel, payload),
    exclusiveSince,
    async close() {
      // Closing writes, which a process that has lost the folder must not do.
      if (lock.isHeld()) await db.close();
      await lock.release();
    },
  };
}
