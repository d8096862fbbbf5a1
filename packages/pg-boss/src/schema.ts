import { getConstructionPlans } from "pg-boss";
import type { Database } from "./database/database.js";

/** The database cannot take the sink's tables as it is. The message says why and how to repair it. */
export class SetupError extends Error {
  override readonly name = "SetupError";
}

/** The first version of pg-boss' schema that pg-boss 12 can read. */
const OLDEST_VERSION = 25;

interface SchemaState {
  readonly database: string;
  readonly role: string;
  readonly encoding: string;
  readonly mayCreateSchema: boolean;
  /** `null` without the schema. */
  readonly mayCreate: boolean | null;
  /** The version of pg-boss' tables; `null` without tables. */
  readonly version: number | null;
}

/** The changes that pg-boss may make to the schema when it starts. */
export interface Permitted {
  readonly createSchema: boolean;
  readonly migrate: boolean;
}

/** @throws SetupError if the sink cannot work on this database. */
export async function checkSchema(db: Database, schema: string): Promise<Permitted> {
  const state = await inspect(db, schema);
  const { database, role, encoding, mayCreateSchema, mayCreate, version } = state;
  if (encoding !== "UTF8") {
    throw new SetupError(
      `The database ${database} has the encoding ${encoding}, which cannot hold every event. Create one with ENCODING 'UTF8' TEMPLATE template0.`,
    );
  }
  if (version !== null && version < OLDEST_VERSION) {
    throw new SetupError(
      `An older release made the schema ${schema}. Stop all its processes, then run sink.migrate() once.`,
    );
  }
  if (mayCreate === null && !mayCreateSchema) {
    throw new SetupError(
      `The schema ${schema} does not exist, and the role ${role} may not create it. Run CREATE SCHEMA ${schema} AUTHORIZATION "${role}" as an administrator.`,
    );
  }
  if (mayCreate === false && version === null) {
    throw new SetupError(
      `The schema ${schema} has no tables, and the role ${role} may not create them. Run GRANT CREATE, USAGE ON SCHEMA ${schema} TO "${role}", or the SQL of schemaSql().`,
    );
  }
  return { createSchema: mayCreate === null, migrate: mayCreate !== false };
}

async function inspect(db: Database, schema: string): Promise<SchemaState> {
  const { rows } = await db.executeSql(
    `SELECT current_database() AS database, current_user AS role,
       current_setting('server_encoding') AS encoding,
       has_database_privilege(current_database(), 'CREATE') AS "mayCreateSchema",
       has_schema_privilege(n.oid, 'CREATE') AS "mayCreate",
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'version') AS installed
     FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = $1`,
    [schema],
  );
  const { installed, ...state } = rows[0];
  if (!installed) return { ...state, version: null };
  const { rows: versions } = await db.executeSql(`SELECT version FROM ${schema}.version`);
  return { ...state, version: Number(versions[0]?.version) };
}

/**
 * Moves the events of pg-boss 10's tables into new ones, in one transaction. It renames the old schema and
 * leaves it in place.
 */
export async function moveOldEvents(db: Database, schema: string, lease: number): Promise<void> {
  const { version } = await inspect(db, schema);
  if (version === null || version >= OLDEST_VERSION) return;
  const old = `${schema}_v10`;
  const creation = getConstructionPlans(schema, { createSchema: true });
  const end = creation.lastIndexOf("COMMIT");
  // The plans open a transaction of their own. Inside another one, that has no effect but a warning.
  await db.executeSql(`BEGIN;
    ALTER SCHEMA ${schema} RENAME TO ${old};
    ${creation.slice(0, end)}
    SELECT ${schema}.create_queue(name, '{"policy": "standard"}') FROM ${old}.queue;
    INSERT INTO ${schema}.job (
      id, name, data, priority, state, retry_limit, retry_count, retry_delay, retry_backoff, start_after,
      started_on, created_on, completed_on, keep_until, output, policy, expire_seconds, deletion_seconds,
      heartbeat_seconds
    )
    SELECT id, name, data, priority,
      -- The worker of a running event has stopped.
      (CASE state::text WHEN 'active' THEN 'retry' ELSE state::text END)::${schema}.job_state,
      retry_limit, retry_count, retry_delay, retry_backoff, start_after, started_on, created_on,
      completed_on, now() + interval '60 years', output, 'standard', 86400, 0, ${lease}
    FROM ${old}.job;
    COMMIT;`);
}

/**
 * Returns the SQL that creates the sink's tables, for an administrator. Afterwards the sink's role needs
 * only USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables.
 */
export function schemaSql(schema = "crowdhook"): string {
  checkSchemaName(schema);
  return getConstructionPlans(schema, { createSchema: true });
}

/** Words that PostgreSQL takes as a schema's name only in quotes. Source: its appendix "SQL Key Words". */
const RESERVED = new Set(
  `all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
  collation column concurrently constraint create cross current_catalog current_date current_role
  current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
  except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
  is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
  only or order outer overlaps placing primary references returning right select session_user similar some
  symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when
  where window with`.split(/\s+/),
);

/** @throws TypeError for a name that PostgreSQL refuses or takes only in quotes. */
export function checkSchemaName(schema: unknown): void {
  if (typeof schema !== "string" || !/^[a-z_][a-z0-9_]{0,49}$/.test(schema)) {
    throw new TypeError(
      `schema must be up to 50 lowercase letters, digits and "_", not ${JSON.stringify(schema)}.`,
    );
  }
  if (schema.startsWith("pg_")) {
    throw new TypeError(`schema cannot begin with "pg_", which PostgreSQL keeps for itself: ${schema}.`);
  }
  if (RESERVED.has(schema)) {
    throw new TypeError(`schema cannot be ${schema}, a word of SQL. Use another one, such as crowdhook.`);
  }
}
