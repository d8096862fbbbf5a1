import type { EngineContext, RunEvent } from "@crowdhook/core/sink";
import type { Connection } from "./connection.js";
import { inTransaction } from "./database/database.js";
import type { Ordering } from "./job.js";

/** A stored event, fetched by this worker. The two values identify the attempt. */
export interface Job {
  readonly id: string;
  /** 0 for the first attempt. */
  readonly retryCount: number;
  readonly data: unknown;
}

/** The queue that a worker fetches jobs from and stores their outcomes in. */
export interface Jobs {
  fetch(max: number): Promise<readonly Job[]>;
  /** Runs the listeners. Resolves with whether it has also completed the job. */
  run(job: Job, signal: AbortSignal): Promise<{ readonly completed: boolean }>;
  complete(jobs: readonly Job[]): Promise<void>;
  fail(job: Job, error: unknown): Promise<void>;
  /** Renews the leases of jobs. Resolves with the ids of the jobs that this worker still holds. */
  renew(jobs: readonly Job[]): Promise<ReadonlySet<string>>;
}

/** How a worker runs the listeners of an event. */
export interface WorkSettings {
  readonly transactional: boolean;
  /** In seconds. */
  readonly transactionTimeout: number | undefined;
}

/** Matches what PostgreSQL's `text` rejects. */
const NOT_IN_TEXT = /\0|\p{Surrogate}/gu;

/** The result of `complete` and `fail`, with fields that pg-boss' types leave out. */
interface Settled {
  readonly affected: number;
  readonly settled?: readonly string[];
}

/** The statements of one queue's worker. Each of them changes only the attempt that this worker fetched. */
export function queuedJobs(
  connection: Connection,
  schema: string,
  name: string,
  { messageOf }: Pick<EngineContext, "messageOf">,
  {
    run,
    ordering,
    transactional,
    transactionTimeout,
  }: WorkSettings & { readonly run: RunEvent; readonly ordering: Ordering | undefined },
): Jobs {
  async function fetch(batchSize: number): Promise<readonly Job[]> {
    const { boss, db } = await connection.openQueue(name);
    const jobs = await boss.fetch(name, {
      batchSize,
      // Waiting jobs leave before PostgreSQL collects statistics on them, so its planner expects an empty
      // queue and sorts all that waits. The settings hold for this statement only.
      db: {
        executeSql: (text) => db.executeSql(`SET LOCAL enable_sort = off; SET LOCAL jit = off; ${text}`),
      },
    });
    if (ordering?.onFailed === "skip" && jobs.length < batchSize) await unblock();
    return jobs;
  }

  /** Gives events that have failed for good a key of their own, so that they no longer block others. */
  async function unblock(): Promise<void> {
    const { db } = await connection.openQueue(name);
    await db.executeSql(
      `UPDATE ${schema}.job SET singleton_key = id::text
       WHERE name = $1 AND state = 'failed' AND singleton_key <> id::text`,
      [name],
    );
  }

  /** Runs the listeners and completes the job in one transaction. */
  async function runInTransaction(job: Job, signal: AbortSignal): Promise<void> {
    const { boss, db } = await connection.openQueue(name);
    await db.transaction(
      async (tx) => {
        await run(job.data, { signal, attempt: job.retryCount + 1, tx });
        const options = { db: inTransaction(tx) };
        const { affected } = (await boss.complete(name, job, undefined, options)) as Settled;
        if (affected === 0) throw new Error("Another worker took over the event.");
      },
      transactionTimeout === undefined ? undefined : transactionTimeout * 1000,
    );
  }

  return {
    fetch,
    async run(job, signal) {
      if (transactional) await runInTransaction(job, signal);
      else await run(job.data, { signal, attempt: job.retryCount + 1 });
      return { completed: transactional };
    },
    async complete(jobs) {
      const { boss } = await connection.openQueue(name);
      await boss.complete(name, jobs as Job[]);
    },
    async fail(job, error) {
      const { boss } = await connection.openQueue(name);
      await boss.fail(name, job, { message: messageOf(error).replace(NOT_IN_TEXT, "\ufffd") });
      if (ordering?.onFailed === "skip") await unblock();
    },
    async renew(jobs) {
      const { boss } = await connection.openQueue(name);
      const { settled } = (await boss.touch(name, jobs as Job[])) as Settled;
      return new Set(settled);
    },
  };
}
