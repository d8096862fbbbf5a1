import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open as openFile, realpath } from "node:fs/promises";
import net from "node:net";
import { Pool, type PoolConfig } from "pg";

/** What pg-boss runs its statements on. */
export interface Database {
  // biome-ignore lint/suspicious/noExplicitAny: rows are what the statement makes them
  executeSql(text: string, values?: unknown[]): Promise<{ rows: any[]; rowCount: number }>;
  /**
   * Since when no other process can have been at it, by its own clock; `undefined` if others may be.
   */
  readonly aloneSince: Date | undefined;
  close(): Promise<void>;
}

/** How long to wait for a connection. */
const CONNECT_MS = 3_000;
/** A server that has not answered a statement by then is taken to be gone. */
const QUERY_MS = 30_000;

/**
 * What waits is gone before its statistics are made: without these, PostgreSQL takes a long queue for an
 * empty one, and sorts all of it for every fetch.
 */
const PLANNING = "SET enable_sort = off; SET jit = off";

export function openPostgres(
  connection: string | Readonly<Record<string, unknown>>,
  onTrouble: (error: Error) => void,
): Database {
  const config: PoolConfig = typeof connection === "string" ? { connectionString: connection } : connection;
  const pool = new Pool({
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    keepAlive: true,
    // A sink that is closed while the server is frozen must not hold the process.
    allowExitOnIdle: true,
    application_name: "crowdhook",
    onConnect: (client) => client.query(PLANNING),
    ...config,
  });
  // Of connections that are idle; without a listener it would end the process.
  pool.on("error", onTrouble);
  return {
    async executeSql(text, values) {
      const { rows, rowCount } = await pool.query(text, values);
      return { rows, rowCount: rowCount ?? 0 };
    },
    aloneSince: undefined,
    close: () => pool.end(),
  };
}

/** By real path: the sinks of one process share a folder. */
const open = new Map<string, { users: number; database: Promise<Database> }>();

/**
 * PostgreSQL inside this process, its data in a folder.
 *
 * @throws Error if another process has the folder: it would overwrite what this one stores.
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
          // There is one session: the next statement must not find this one's transaction.
          await db.exec("ROLLBACK");
          throw error;
        }
      },
      aloneSince: rows[0]?.now,
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

/** From `fcntl.h` of macOS and the BSDs: opens a file and locks it, or fails if it is locked. */
const O_EXLOCK = 0x20;

/**
 * Keeps a folder for this process, for as long as that lives: by what the system takes back however
 * the process ends. Where there are sockets whose name is no file, that is one; else a locked file.
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
    // Exclusive, or the workers of node:cluster would share it.
    server.listen(
      { path: platform === "linux" ? `\0${name}` : `\\\\.\\pipe\\${name}`, exclusive: true },
      resolve,
    );
  });
  return () => new Promise((resolve) => server.close(() => resolve()));
}

function inUse(path: string): string {
  return `Another process has ${path}. One process can use a dataDir at a time: receive and work in it, or pass a connection to PostgreSQL.`;
}
