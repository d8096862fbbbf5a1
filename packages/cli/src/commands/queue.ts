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
  const sink = await openSink({ schema });
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
export async function openSink(options: { readonly schema: string; readonly queue?: string }) {
  const { pgBossSink } = await loadSink();
  const connection = urlIn("DATABASE_URL", "PostgreSQL");
  return usable(() => pgBossSink({ ...options, connection }));
}

/** Returns the same sink with its events that have an ordering key, which are in queues of their own. */
export async function openOrderedSink(options: { readonly schema: string; readonly queue?: string }) {
  const { pgBossSink } = await loadSink();
  const connection = urlIn("DATABASE_URL", "PostgreSQL");
  return usable(() => pgBossSink({ ...options, connection, orderingKey: () => undefined }));
}

/** Returns the sink in the Redis that the environment names. It has no connection yet. */
export async function openRedisSink(options: { readonly queue: string }) {
  const { bullmqSink } = await installed("@crowdhook/bullmq", () => import("@crowdhook/bullmq"));
  const connection = urlIn("REDIS_URL", "Redis");
  return usable(() => bullmqSink({ ...options, connection }));
}

const loadSink = () => installed("@crowdhook/pg-boss", () => import("@crowdhook/pg-boss"));

async function installed<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new UsageError(`The package ${name} is missing. Run npm install ${name}.`);
  }
}

function urlIn(variable: string, server: string): string {
  const url = process.env[variable];
  if (!url) throw new UsageError(`${variable} is missing. Set it to the URL of ${server}.`);
  return url;
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
export function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || `The database cannot be reached: ${code}.`;
}
