import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool, type PoolClient, type PoolConfig } from "pg";
import { type Database, type Transaction, whileOpen } from "./database.js";

/** The time limit for connecting. */
const CONNECT_MS = 3_000;
/** The time limit for a statement of the sink: without one, a frozen server blocks the sink for good. */
const QUERY_MS = 30_000;
/** How long a rollback may take before its connection is closed instead. */
const ROLLBACK_MS = 3_000;
const RECONNECT_MS = 2_000;

export function openPostgres(
  connection: string | Readonly<Record<string, unknown>>,
  onError: (error: unknown) => void,
): Database {
  const given: PoolConfig = typeof connection === "string" ? { connectionString: connection } : connection;
  const config: PoolConfig = {
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    keepAlive: true,
    application_name: "crowdhook",
    ...given,
  };
  // A sink that closes while the server is frozen must not keep the process alive.
  const pool = new Pool({ allowExitOnIdle: true, ...config });
  // An idle connection failed. Without a listener, Node ends the process.
  pool.on("error", onError);
  return {
    async executeSql(text, values) {
      // Several statements in one text have several results.
      const results = [await pool.query(text, values)].flat();
      return { rows: results.flatMap(({ rows }) => rows ?? []) };
    },
    async transaction(run, timeLimit) {
      const client = await pool.connect();
      // The statement that runs then rejects with the same error.
      client.on("error", onError);
      let broken: Error | undefined;
      try {
        await client.query("BEGIN");
        const result = await whileOpen(client as Transaction, run, timeLimit);
        await client.query("COMMIT");
        return result;
      } catch (error) {
        broken = await rollback(client);
        throw error;
      } finally {
        client.off("error", onError);
        client.release(broken);
      }
    },
    reserve(transactions) {
      pool.options.max += transactions;
      return transactions;
    },
    listen: (channel, onNotification, onReconnect) =>
      listen(config, channel, onNotification, onReconnect, onError),
    async notify(channel, payload) {
      // The server writes each commit to the disk. Without that a crash can lose the notification only.
      await pool.query("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", [
        channel,
        payload,
      ]);
    },
    exclusiveSince: undefined,
    close: () => pool.end(),
  };
}

/** Rolls back. Returns an error if the connection must be closed, which rolls back, too. */
async function rollback(client: PoolClient): Promise<Error | undefined> {
  const late = delay(ROLLBACK_MS, new Error("No answer to ROLLBACK."), { ref: false });
  return Promise.race([
    client.query("ROLLBACK").then(
      () => undefined,
      (error: Error) => error,
    ),
    late,
  ]);
}

/**
 * Subscribes on a connection of its own, and again after that connection is lost.
 *
 * A pooler such as PgBouncer shares one server session among strangers, and a subscription there would
 * outlive its client. So the connection sets a value at its start. A pooler refuses or drops it, and then
 * the sink polls.
 */
async function listen(
  config: PoolConfig,
  channel: string,
  onNotification: (payload: string) => void,
  onReconnect: () => void,
  onError: (error: unknown) => void,
): Promise<{ close(): Promise<void> }> {
  let closed = false;
  let current: Client | undefined;

  async function connect(): Promise<void> {
    const mark = randomUUID();
    const client = new Client({
      ...config,
      options: `${config.options ?? ""} -c crowdhook.session=${mark}`.trim(),
    });
    client.on("error", onError);
    try {
      await client.connect();
      const { rows } = await client.query("SELECT current_setting('crowdhook.session', true) AS mark");
      if (rows[0]?.mark !== mark) throw new Error("A pooler stands before PostgreSQL.");
      await client.query(`LISTEN "${channel.replaceAll('"', '""')}"`);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    if (closed) return void client.end().catch(() => {});
    current = client;
    client.on("notification", ({ payload }) => onNotification(payload ?? ""));
    client.once("end", () => void reconnect());
    onReconnect();
  }

  async function reconnect(): Promise<void> {
    while (!closed) {
      await delay(RECONNECT_MS, undefined, { ref: false });
      if (closed) return;
      try {
        return await connect();
      } catch (error) {
        onError(error);
      }
    }
  }

  await connect();
  return {
    async close() {
      closed = true;
      await current?.end().catch(() => {});
    },
  };
}
