import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open as openFile, realpath } from "node:fs/promises";
import net from "node:net";
import { Pool, type PoolConfig } from "pg";
import type PgBoss from "pg-boss";

/** The database that pg-boss runs its statements on. */
export interface Database {
  // biome-ignore lint/suspicious/noExplicitAny: the statement decides the type of its rows
  executeSql(text: string, values?: unknown[]): Promise<{ rows: any[]; rowCount: number }>;
  /**
   * Since when only this process uses the database, by the database's clock. `undefined` if other
   * processes can use it.
   */
  readonly exclusiveSince: Date | undefined;
  close(): Promise<void>;
}

/** A started pg-boss and its database. */
export interface Connected {
  readonly db: Database;
  readonly boss: PgBoss;
}

/** The time limit for connecting. */
const CONNECT_MS = 3_000;
/** The time limit for a statement: without one, a frozen server blocks the sink for good. */
const QUERY_MS = 30_000;

/**
 * Waiting jobs leave before PostgreSQL collects statistics on them. Without these settings its planner
 * expects an empty queue, and every fetch sorts all that waits.
 */
const PLANNING = "SET enable_sort = off; SET jit = off";

export function openPostgres(
  connection: string | Readonly<Record<string, unknown>>,
  onError: (error: Error) => void,
): Database {
  const config: PoolConfig = typeof connection === "string" ? { connectionString: connection } : connection;
  const pool = new Pool({
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    keepAlive: true,
    // A sink that closes while the server is frozen must not keep the process alive.
    allowExitOnIdle: true,
    application_name: "crowdhook",
    onConnect: (client) => client.query(PLANNING),
    ...config,
  });
  // An idle connection failed. Without a listener, Node ends the process.
  pool.on("error", onError);
  return {
    async executeSql(text, values) {
      const { rows, rowCount } = await pool.query(text, values);
      return { rows, rowCount: rowCount ?? 0 };
    },
    exclusiveSince: undefined,
    close: () => pool.end(),
  };
}

/** The open folders of this process, by real path: its sinks share them. */
const open = new Map<string, { users: number; database: Promise<Database> }>();

/**
 * Opens PGlite (PostgreSQL inside this process) on a folder.
 *
 * @throws Error if another process uses the folder: two processes would overwrite each other's data.
 */
export async function openPglite(dataDir: string): Promise<Database> {
  await mkdir(dataDir, { recursive: true });
  const path = await realpath(dataDir);
  const entry = open.get(path) ?? { users: 0, database: startPglite(path) };
  open.set(path, entry);
  entry.users++;
  const leave = async () => {
    if (--entry.users > 0) return;
    open.delete(path);
    await (await entry.database).close();
  };
  try {
    return { ...(await entry.database), close: leave };
  } catch (error) {
    entry.users--;
    if (open.get(path) === entry) open.delete(path);
    throw error;
  }
}

async function startPglite(path: string): Promise<Database> {
  const unlock = await lock(path);
  try {
    const { PGlite } = await import("@electric-sql/pglite");
    const db = await PGlite.create(path);
    await db.exec(PLANNING);
    const { rows } = await db.query<{ now: Date }>("SELECT now()");
    return {
      async executeSql(text, values) {
        if (values && values.length > 0) {
          const { rows, affectedRows = 0 } = await db.query(text, values);
          return { rows, rowCount: affectedRows };
        }
        try {
          const { rows = [], affectedRows = 0 } = (await db.exec(text)).at(-1) ?? {};
          return { rows, rowCount: affectedRows };
        } catch (error) {
          // PGlite has one session: end this statement's transaction before the next statement.
          await db.exec("ROLLBACK");
          throw error;
        }
      },
      exclusiveSince: rows[0]?.now,
      async close() {
        await db.close();
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Opens a file and locks it, or fails if it is locked. Source: `fcntl.h` of macOS and the BSDs. */
const O_EXLOCK = 0x20;

/**
 * Reserves a folder for this process. The operating system releases the lock however the process ends.
 * Linux and Windows have sockets without a file, so the lock is such a socket; elsewhere it is a locked
 * file.
 */
async function lock(path: string): Promise<() => Promise<void>> {
  const name = `crowdhook-${createHash("sha256").update(path).digest("hex").slice(0, 40)}`;
  const { platform } = process;
  if (platform !== "linux" && platform !== "win32") {
    const flags = constants.O_CREAT | constants.O_RDWR | constants.O_NONBLOCK | O_EXLOCK;
    const file = await openFile(`${path}.lock`, flags).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "EAGAIN" ? new Error(inUse(path)) : error;
    });
    return () => file.close();
  }
  const server = net.createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new Error(inUse(path)) : error),
    );
    // Without `exclusive`, the workers of node:cluster would share the socket.
    server.listen(
      { path: platform === "linux" ? `\0${name}` : `\\\\.\\pipe\\${name}`, exclusive: true },
      resolve,
    );
  });
  return () => new Promise((resolve) => server.close(() => resolve()));
}

function inUse(path: string): string {
  return `Another process uses ${path}. Only one process can use a dataDir. Receive and work in that process, or pass a connection to PostgreSQL.`;
}
