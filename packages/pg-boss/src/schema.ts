import { getConstructionPlans } from "pg-boss";
import { type Database, SetupError } from "./database/database.js";

/** The first version of pg-boss' schema that pg-boss 12 can read. */
const OLDEST_VERSION = 25;

interface SchemaState {
  readonly database: string;
  readonly role: string;
  readonly encoding: string;
  readonly mayCreateSchema: boolean;
  /** `null` without the schema. */
  readonly mayCreate: boolean | null;
  readonly installed: boolean;
  /** Whether the role may read and write the tables. */
  readonly mayUse: boolean;
  /** The version of pg-boss' tables; `null` without tables that the role may use. */
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
  const { database, role, encoding, mayCreateSchema, mayCreate, installed, mayUse, version } = state;
  if (encoding !== "UTF8") {
    throw new SetupError(
      `The database ${database} has the encoding ${encoding}, which cannot hold every event. Create one with ENCODING 'UTF8' TEMPLATE template0.`,
    );
  }
  if (installed && !mayUse) {
    throw new SetupError(
      `The role ${role} may not read and write all tables in the schema ${schema}. Run GRANT USAGE ON SCHEMA ${schema} TO "${role}"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO "${role}".`,
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
  if (mayCreate === false && !installed) {
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
       has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (
         SELECT FROM pg_class c, unnest('{SELECT, INSERT, UPDATE, DELETE}'::text[]) AS needed
         WHERE c.relnamespace = n.oid AND c.relname IN ('version', 'queue', 'job', 'job_common')
           AND NOT has_table_privilege(c.oid, needed)
       ) AS "mayUse",
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'version') AS installed
     FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = $1`,
    [schema],
  );
  const state = rows[0];
  if (!state.installed || !state.mayUse) return { ...state, version: null };
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

/**
 * Words that PostgreSQL takes as the schema of a table, type or function only in quotes, and a schema of
 * its own. Source: its appendix "SQL Key Words", all but the words marked "non-reserved" alone.
 */
const RESERVED = new Set(
  `all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
  case cast char character check coalesce collate collation column concurrently constraint create cross
  current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
  decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
  freeze from full grant greatest group grouping having ilike in information_schema initially inner inout
  int integer intersect interval into is isnull join json json_array json_arrayagg json_exists json_object
  json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least left like
  limit localtime localtimestamp merge_action national natural nchar none normalize not notnull null nullif
  numeric offset on only or order out outer overlaps overlay placing position precision primary real
  references returning right row select session_user setof similar smallint some substring symmetric
  system_user table tablesample then time timestamp to trailing treat trim true union unique user using
  values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
  xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`.split(/\s+/),
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
