import type { EngineContext, QueueEngine, SerializedEvent, StoredFailure } from "@crowdhook/core/sink";
import { type Connection, createConnection } from "./connection.js";
import type { Database } from "./database.js";
import { jobIdOf, newJobId } from "./job-id.js";
import { type Jobs, startWorker } from "./worker.js";

/**
 * Matches NUL and halves of surrogate pairs, as JSON.stringify writes them. PostgreSQL's `jsonb`
 * rejects both.
 */
const NOT_IN_JSONB = /\\u(?:0000|d[89a-f])/;
/** The same characters, unescaped. */
const NOT_IN_TEXT = /\0|\p{Surrogate}/gu;

/** Runs durable sinks on pg-boss 10. */
export function createPgBossEngine(
  context: EngineContext,
  schema: string,
  openDatabase: () => Promise<Database>,
): QueueEngine {
  const { settings, queueName, reportUnreachable } = context;
  const connection = createConnection(context, schema, openDatabase);
  const prefix = queueName("");

  return {
    store: (provider, events) => storeEvents(connection, schema, queueName(provider), events),

    work: (provider, run, concurrency) =>
      startWorker(
        jobsOf(connection, schema, queueName(provider), context),
        (job, signal) => run(job.data, { signal, attempt: job.attempt }),
        { concurrency, renewEvery: (settings.lease * 1000) / 3 },
        reportUnreachable,
      ),

    async failed(limit) {
      const { db } = await connection.open();
      const { rows } = await db.executeSql(
        `SELECT name, id, data, output, retry_count, completed_on FROM ${schema}.job
         WHERE state = 'failed' AND starts_with(name, $1)
         ORDER BY completed_on, id LIMIT $2`,
        [prefix, limit],
      );
      return rows.map((row) => failureOf(row, row.name.slice(prefix.length)));
    },

    async replay(provider, eventId) {
      const { db } = await connection.open();
      const { rows } = await db.executeSql(
        `UPDATE ${schema}.job
         SET state = 'retry', retry_count = 0, started_on = NULL, completed_on = NULL, start_after = now()
         WHERE name = $1 AND id::text IN ($2, $3) AND state = 'failed'
         RETURNING id`,
        [queueName(provider), jobIdOf(provider, eventId), eventId],
      );
      return rows.length > 0;
    },

    close: () => connection.close(),
  };
}

/** Stores all events in one statement. */
async function storeEvents(
  connection: Connection,
  schema: string,
  name: string,
  events: readonly SerializedEvent[],
): Promise<void> {
  const { boss, db } = await connection.openQueue(name);
  const jobs = events.map((event) => ({ id: newJobId(event.provider, event.id), name, data: event }));
  let stored = 0;
  let needsText = false;
  // pg-boss returns neither the JSON text nor the number of rows: both pass through here.
  const counting = {
    async executeSql(text: string, values: unknown[]) {
      if (!needsText && NOT_IN_JSONB.test(String(values[0]))) {
        needsText = true;
        return { rows: [], rowCount: 0 };
      }
      const result = await db.executeSql(text, values);
      stored = result.rowCount;
      return result;
    },
  };
  await boss.insert(jobs, { db: counting });
  if (needsText) {
    const texts = jobs.map((job) => ({ ...job, data: { v: 1, json: JSON.stringify(job.data) } }));
    await boss.insert(texts, { db: counting });
  }
  if (stored === jobs.length) return;
  // The rest should be duplicates. But if the queue was removed, pg-boss stores nothing and reports no error.
  const ids = [...new Set(jobs.map(({ id }) => id))];
  const { rows: known } = await db.executeSql(
    `SELECT id FROM ${schema}.job WHERE name = $1 AND id = ANY($2::uuid[])`,
    [name, ids],
  );
  if (known.length === ids.length) return;
  connection.forgetQueue(name);
  throw new Error("Not all events were stored: the queue was removed.");
}

/** The statements of one queue's worker. */
function jobsOf(
  connection: Connection,
  schema: string,
  name: string,
  { messageOf }: Pick<EngineContext, "messageOf">,
): Jobs {
  return {
    async fetch(batchSize) {
      const { boss, db } = await connection.openQueue(name);
      let failure: { error: unknown } | undefined;
      const found = await boss.fetch<unknown>(name, {
        batchSize,
        includeMetadata: true,
        // `boss.fetch` swallows errors of the database.
        db: {
          async executeSql(text: string, values: unknown[]) {
            try {
              return await db.executeSql(text, values);
            } catch (error) {
              failure = { error };
              throw error;
            }
          },
        },
      });
      if (failure) throw failure.error;
      return found.map(({ id, data, retryCount }) => ({ id, data, attempt: retryCount + 1 }));
    },
    async complete(ids) {
      const { boss } = await connection.openQueue(name);
      await boss.complete(name, ids as string[]);
    },
    async fail(id, error) {
      const { boss } = await connection.openQueue(name);
      await boss.fail(name, id, { message: messageOf(error).replace(NOT_IN_TEXT, "\ufffd") });
    },
    async renew(jobs) {
      const { db } = await connection.openQueue(name);
      const { rows } = await db.executeSql(
        `UPDATE ${schema}.job SET started_on = now()
         WHERE name = $1 AND state = 'active'
           AND (id, retry_count) IN (SELECT * FROM unnest($2::uuid[], $3::int[]))
         RETURNING id`,
        [name, jobs.map(({ id }) => id), jobs.map(({ attempt }) => attempt - 1)],
      );
      return new Set(rows.map(({ id }) => id as string));
    },
  };
}

interface FailedRow {
  readonly name: string;
  readonly id: string;
  readonly data: unknown;
  readonly output: { readonly message?: string; readonly value?: { readonly message?: string } } | null;
  readonly retry_count: number;
  readonly completed_on: Date;
}

function failureOf(
  { id, data, output, retry_count, completed_on }: FailedRow,
  provider: string,
): StoredFailure {
  return {
    provider,
    jobId: id,
    data,
    // pg-boss nests the message of a failure that it found itself, such as an expired lease.
    error: output?.message ?? output?.value?.message ?? "",
    attempts: retry_count + 1,
    failedAt: completed_on,
  };
}
