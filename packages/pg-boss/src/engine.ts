import type { EngineContext, QueueEngine, StoredFailure } from "@crowdhook/core/sink";
import { createConnection } from "./connection.js";
import { type Database, inTransaction } from "./database/database.js";
import { jobIdOf, jobsOf, type Ordering, orderingKeyOf } from "./job.js";
import { queuedJobs, type WorkSettings } from "./queued-jobs.js";
import { savedTimes } from "./saved-times.js";
import { moveOldEvents } from "./schema.js";
import { startWorker } from "./worker.js";

/** The engine and what only this sink can do. */
export interface PgBossEngine extends QueueEngine {
  migrate(): Promise<void>;
  blockedKeys(): Promise<readonly string[]>;
}

/** Runs durable sinks on pg-boss 12. */
export function createPgBossEngine(
  context: EngineContext,
  schema: string,
  openDatabase: () => Promise<Database>,
  ordering: Ordering | undefined,
  workSettings: (options: object) => WorkSettings,
): PgBossEngine {
  const { settings, reportUnreachable } = context;
  // The policy of a queue never changes, so events in order have queues of their own.
  const prefix = ordering ? `${settings.queue}.ordered-` : context.queueName("");
  const nameOf = (provider: string) => prefix + provider;
  const connection = createConnection(
    context,
    schema,
    openDatabase,
    prefix,
    ordering ? "key_strict_fifo" : "standard",
  );

  /** Runs a statement on the failed event with this id: `$1` is its queue, `$2` and `$3` its possible ids. */
  async function changeFailed(statement: string, provider: string, key: string): Promise<boolean> {
    const { db } = await connection.open();
    const { rows } = await db.executeSql(
      `${statement} WHERE name = $1 AND id::text IN ($2, $3) AND state = 'failed' RETURNING id`,
      [nameOf(provider), jobIdOf(provider, key), key],
    );
    return rows.length > 0;
  }

  return {
    async store(provider, events) {
      const name = nameOf(provider);
      const jobs = jobsOf(events, settings, ordering);
      const { boss, db } = await connection.openQueue(name);
      try {
        if (!ordering) await boss.insert(name, jobs);
        else {
          await db.transaction(async (tx) => {
            const stored = await boss.insert(name, jobs, { db: inTransaction(tx), returnId: true });
            const isNew = new Set(stored);
            const ids = jobs.flatMap(({ id = "" }) => (isNew.has(id) ? [id] : []));
            if (ids.length > 0) await tx.query(keepOrder(schema), [name, ids]);
          });
        }
      } catch (error) {
        // Perhaps the queue was removed. The next delivery creates it again.
        connection.forgetQueue(name);
        throw error;
      }
      connection.announce(name);
    },

    work(provider, run, concurrency, options) {
      const name = nameOf(provider);
      const how = workSettings(options);
      const worker = startWorker(
        queuedJobs(connection, schema, name, context, { run, ordering, ...how }),
        {
          lease: settings.lease * 1000,
          // How many transactions run at once depends on the database.
          slots: async () =>
            how.transactional ? (await connection.openDatabase()).reserve(concurrency) : concurrency,
          isNotified: connection.isNotified,
        },
        reportUnreachable,
      );
      connection.onStored(name, worker.wake);
      return worker;
    },

    async failed(limit) {
      const { db } = await connection.open();
      const { rows } = await db.executeSql(
        `SELECT name, id, data, output, retry_count, completed_on FROM ${schema}.job
         WHERE state = 'failed' AND name IN (SELECT name FROM ${schema}.queue WHERE starts_with(name, $1))
         ORDER BY completed_on, id LIMIT $2`,
        [prefix, limit],
      );
      return rows.map((row) => failureOf(row, row.name.slice(prefix.length)));
    },

    replay: (provider, key) =>
      changeFailed(
        `UPDATE ${schema}.job
         SET state = 'retry', retry_count = 0, started_on = NULL, completed_on = NULL, start_after = now()`,
        provider,
        key,
      ),

    discard: (provider, key) => changeFailed(`DELETE FROM ${schema}.job`, provider, key),

    ...savedTimes(connection, schema, `${prefix}times`),

    async migrate() {
      await moveOldEvents(await connection.openDatabase(), schema, settings.lease);
      await connection.open();
    },

    async blockedKeys() {
      const { db } = await connection.open();
      const { rows } = await db.executeSql(
        `SELECT DISTINCT singleton_key AS key FROM ${schema}.job
         WHERE state = 'failed' AND policy = 'key_strict_fifo'
           AND name IN (SELECT name FROM ${schema}.queue WHERE starts_with(name, $1))
         ORDER BY key`,
        [prefix],
      );
      return rows.flatMap(({ key }) => orderingKeyOf(key) ?? []);
    },

    ready: async () => void (await connection.open()),
    close: () => connection.close(),
  };
}

/**
 * Orders new events by their place in the delivery, behind those that wait for the same key: all jobs of
 * one `insert` have the time of the transaction. `$1` is the queue, `$2` the ids in order.
 */
function keepOrder(schema: string): string {
  // Adding an interval of 0 keeps the planner from an index on the time alone, which holds all keys.
  return `WITH new AS (
      SELECT j.id, j.singleton_key, n.place
      FROM unnest($2::uuid[]) WITH ORDINALITY AS n (id, place)
      JOIN ${schema}.job j ON j.name = $1 AND j.id = n.id
    ), waiting AS MATERIALIZED (
      SELECT singleton_key, (
        SELECT max(w.created_on + interval '0') FROM ${schema}.job w
        WHERE w.name = $1 AND w.singleton_key = k.singleton_key AND w.state < 'active'
          AND w.created_on <> now()
      ) AS latest
      FROM (SELECT DISTINCT singleton_key FROM new) k
    )
    UPDATE ${schema}.job j
    SET created_on = GREATEST(j.created_on, waiting.latest) + new.place * interval '1 microsecond'
    FROM new JOIN waiting USING (singleton_key)
    WHERE j.name = $1 AND j.id = new.id`;
}

interface FailedRow {
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
    // pg-boss nests the message of a failure that it found itself, such as a lost heartbeat.
    error: output?.message ?? output?.value?.message ?? "",
    attempts: retry_count + 1,
    failedAt: completed_on,
  };
}
