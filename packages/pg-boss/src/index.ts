import { createDurableSink, type DurableSink, type QueueOptions } from "@crowdhook/core/sink";
import { openPglite, openPostgres } from "./database.js";
import { createPgBossEngine } from "./engine.js";

/** Exactly one of `connection` and `dataDir` is required. */
export interface PgBossSinkOptions extends QueueOptions {
  /** PostgreSQL: a URL, or the options of node-postgres' `Pool`. */
  readonly connection?: string | Readonly<Record<string, unknown>> | undefined;
  /** PGlite (PostgreSQL inside this process): the folder of its data. Only one process can open it. */
  readonly dataDir?: string | undefined;
  /** The database schema for all tables. Nothing else may use it. Default `"crowdhook"`. */
  readonly schema?: string | undefined;
}

/** PGlite may have to start first, which takes seconds. */
const STORE_TIMEOUT_MS = { postgres: 3_000, pglite: 30_000 };

/**
 * Creates a durable sink on pg-boss. Events are rows in PostgreSQL or PGlite. The sink connects at its
 * first use, not here.
 *
 * @throws TypeError for invalid options.
 */
export function pgBossSink(options: PgBossSinkOptions): DurableSink {
  const { connection, dataDir, schema = "crowdhook" } = options;
  if ((connection === undefined) === (dataDir === undefined)) {
    throw new TypeError("pgBossSink takes either connection (PostgreSQL) or dataDir (PGlite). Pass one.");
  }
  if (typeof schema !== "string" || !/^[a-z_]\w{0,49}$/.test(schema)) {
    throw new TypeError(`schema must be up to 50 letters, digits and "_", not ${JSON.stringify(schema)}.`);
  }
  return createDurableSink(options, {
    name: "pg-boss sink",
    server: dataDir === undefined ? "PostgreSQL" : "PGlite",
    storeTimeout: dataDir === undefined ? STORE_TIMEOUT_MS.postgres : STORE_TIMEOUT_MS.pglite,
    createEngine: (context) =>
      createPgBossEngine(context, schema, async () =>
        dataDir === undefined
          ? openPostgres(connection ?? "", context.reportUnreachable)
          : openPglite(dataDir),
      ),
  });
}
