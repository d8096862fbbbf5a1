import { Failure, marked, print, printJson, printText, UsageError } from "../output.js";

export interface MigrateOptions {
  readonly schema: string;
  readonly sql?: boolean;
  readonly json?: boolean;
}

/** Creates or updates the tables of the pg-boss sink, or prints the SQL that creates them. */
export async function migrate({ schema, sql, json }: MigrateOptions): Promise<boolean> {
  if (sql) {
    const { schemaSql } = await loadSink();
    const text = usable(() => schemaSql(schema));
    if (json) printJson({ sql: text });
    else printText(text);
    return true;
  }
  const sink = await openSink(schema);
  try {
    await sink.migrate();
  } catch (error) {
    throw new Failure(`The tables in ${schema} are not up to date. ${reasonOf(error)}`);
  } finally {
    await sink.close();
  }
  if (json) printJson({ schema });
  else print(marked(true, `The tables in the schema ${schema} are up to date.`));
  return true;
}

/** Returns the sink in the database that the environment names. It has no connection yet. */
export async function openSink(schema: string) {
  const { pgBossSink } = await loadSink();
  const connection = process.env.DATABASE_URL;
  if (!connection) throw new UsageError("DATABASE_URL is missing. Set it to the URL of PostgreSQL.");
  return usable(() => pgBossSink({ connection, schema }));
}

async function loadSink() {
  try {
    return await import("@crowdhook/pg-boss");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new UsageError("The package @crowdhook/pg-boss is missing. Run npm install @crowdhook/pg-boss.");
  }
}

/** Turns the error for a wrong option into a mistake in the command line. */
function usable<T>(create: () => T): T {
  try {
    return create();
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

/** An address that resolves to several is refused with an error that has no message. */
function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || `The database cannot be reached: ${code}.`;
}
