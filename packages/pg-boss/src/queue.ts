import type { Connected, Database } from "./database.js";

/** Processes that create a queue at the same time can deadlock; one of them then has to retry. */
const TRIES = 5;

/** Creates the queue and its indexes if necessary, and fails jobs that this process left behind. */
export async function prepareQueue(connected: Connected, schema: string, name: string): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      await createQueue(connected, schema, name);
      break;
    } catch (error) {
      if (tried === TRIES) throw error;
    }
  }
  await failOrphans(connected, schema, name);
}

async function createQueue({ db, boss }: Connected, schema: string, name: string): Promise<void> {
  await boss.createQueue(name, { name });
  const { rows } = await db.executeSql(`SELECT partition_name FROM ${schema}.queue WHERE name = $1`, [name]);
  const table = String(rows[0]?.partition_name);
  // Without these indexes every fetch sorts all waiting jobs, and `failed` reads all handled ones.
  await createIndex(db, schema, table, {
    name: `${table}_next`,
    definition: "(priority DESC, created_on, id) WHERE state < 'active'",
  });
  await createIndex(db, schema, table, {
    name: `${table}_fail`,
    definition: "(completed_on, id) WHERE state = 'failed'",
  });
}

async function createIndex(
  db: Database,
  schema: string,
  table: string,
  { name, definition }: { readonly name: string; readonly definition: string },
): Promise<void> {
  // CREATE INDEX IF NOT EXISTS locks the table even if the index exists.
  const { rows } = await db.executeSql("SELECT FROM pg_indexes WHERE schemaname = $1 AND indexname = $2", [
    schema,
    name,
  ]);
  if (rows.length > 0) return;
  await db.executeSql(`CREATE INDEX IF NOT EXISTS "${name}" ON ${schema}."${table}" ${definition}`);
}

/** On PGlite, a job that was active before this process started belongs to a dead process: no lease to wait for. */
async function failOrphans({ db, boss }: Connected, schema: string, name: string): Promise<void> {
  if (db.exclusiveSince === undefined) return;
  const { rows } = await db.executeSql(
    `SELECT id FROM ${schema}.job WHERE name = $1 AND state = 'active' AND started_on < $2`,
    [name, db.exclusiveSince],
  );
  const orphans = rows.map(({ id }) => id as string);
  if (orphans.length === 0) return;
  await boss.fail(name, orphans as unknown as string, {
    message: "The process ended while it handled the event.",
  });
}
