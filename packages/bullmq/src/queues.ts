import {
  deduplicationKey,
  type EngineContext,
  type SerializedEvent,
  type StoredFailure,
} from "@crowdhook/core/sink";
import { Job, type JobsOptions, Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Connection } from "./connection.js";
import { jobIdOf, newJobId } from "./job-id.js";

/** The queues of one sink. Pass clients that are ready: a `Queue` whose first command fails never recovers. */
export interface Queues {
  /** Stores all events or none. */
  store(connection: Connection, provider: string, events: readonly SerializedEvent[]): Promise<void>;
  /** Returns the `limit` oldest failures of each provider. */
  failed(client: Redis, limit: number): Promise<readonly StoredFailure[]>;
  /** Queues a failed event again. Resolves with whether it was found. */
  replay(client: Redis, provider: string, key: string): Promise<boolean>;
  /** Deletes a failed event. Resolves with whether it was found. */
  discard(client: Redis, provider: string, key: string): Promise<boolean>;
  /** Returns the latest time recorded for the key. */
  latestOccurrence(client: Redis, key: string): Promise<number | undefined>;
  /** Remembers the later of the time and the recorded one. */
  recordOccurrence(client: Redis, key: string, time: number): Promise<void>;
}

export function createQueues({ settings, queueName }: EngineContext): Queues {
  const { queue: prefix, attempts, retention } = settings;
  /** A Redis set: the providers that have a queue. */
  const providersKey = `${prefix}:providers`;
  /** A sorted set: the times of recoveries. */
  const timesKey = `${prefix}:times`;
  const jobOptions: JobsOptions = {
    attempts,
    backoff: { type: "crowdhook" },
    removeOnComplete: { age: retention },
    // The message is stored. A stack would show the operator's files to everyone who sees the queue.
    stackTraceLimit: 0,
  };
  const queues = new Map<string, Queue>();
  /**
   * For each provider, the connection on which it was added to the set. After a reconnect it is added
   * again: the server may have lost the set.
   */
  const addedOn = new Map<string, number>();

  function queueOf(provider: string, client: Redis): Queue {
    const known = queues.get(provider);
    if (known) return known;
    const queue = new Queue(queueName(provider), {
      connection: client,
      skipVersionCheck: true,
      skipMetasUpdate: true,
    });
    // The client reports the same errors.
    queue.on("error", () => {});
    queues.set(provider, queue);
    return queue;
  }

  async function findJob(client: Redis, provider: string, key: string): Promise<Job | undefined> {
    if ((await client.sismember(providersKey, provider)) === 0) return undefined;
    const queue = queueOf(provider, client);
    const opaque = /^(?:event|random)-[\w-]{36,}$/.test(key) ? await queue.getJob(key) : undefined;
    return (await queue.getJob(jobIdOf(key))) ?? opaque;
  }

  return {
    async store({ client, times }, provider, events) {
      const queue = queueOf(provider, client);
      // Sent first, so that the set knows every provider that has jobs.
      const added = addedOn.get(provider) === times ? undefined : client.sadd(providersKey, provider);
      await Promise.all([addJobs(queue, events, jobOptions), added]);
      addedOn.set(provider, times);
    },

    async failed(client, limit) {
      const providers = await client.smembers(providersKey);
      const failures = await Promise.all(
        providers.map(async (provider) => {
          const jobs = await queueOf(provider, client).getJobs(["failed"], 0, limit - 1, true);
          return jobs.filter(({ finishedOn }) => finishedOn).map((job) => failureOf(provider, job));
        }),
      );
      return failures.flat();
    },

    async replay(client, provider, key) {
      const job = await findJob(client, provider, key);
      if (job === undefined) return false;
      try {
        await job.retry("failed", { resetAttemptsMade: true, resetAttemptsStarted: true });
        return true;
      } catch (error) {
        // The job is gone (-1) or has not failed (-3). Source: BullMQ, enums/error-code.
        const { code } = error as { code?: unknown };
        if (code === -1 || code === -3) return false;
        throw error;
      }
    },

    async discard(client, provider, key) {
      const job = await findJob(client, provider, key);
      if (job === undefined || !(await job.isFailed())) return false;
      await job.remove();
      return true;
    },

    async latestOccurrence(client, key) {
      const time = await client.zscore(timesKey, key);
      return time === null ? undefined : Number(time);
    },

    async recordOccurrence(client, key, time) {
      await client.zadd(timesKey, "GT", time, key);
    },
  };
}

/**
 * Adds all jobs or none. One job is one script. Several are a transaction, which `Queue.addBulk` of
 * BullMQ 6.7 is not; `FlowProducer.addBulk` is one, but hides its errors.
 */
async function addJobs(
  queue: Queue,
  events: readonly SerializedEvent[],
  options: JobsOptions,
): Promise<void> {
  const jobs = events.map((data) => ({ type: data.type, data, jobId: newJobId(deduplicationKey(data)) }));
  const [first] = jobs;
  if (jobs.length === 1 && first) {
    await queue.add(first.type, first.data, { ...options, jobId: first.jobId });
    return;
  }
  const entries = jobs.map(({ type, data, jobId }) =>
    new Job(queue, type, data, { ...options, jobId }, jobId).toFlowEntry(),
  );
  const results = await queue.getBackend().addFlow(entries);
  if (results.length !== jobs.length) throw new Error("Not all events were stored.");
  for (const [error, id] of results) {
    if (error) throw error;
    if (typeof id !== "string") throw new Error("An event was not stored.");
  }
}

function failureOf(provider: string, job: Job): StoredFailure {
  return {
    provider,
    jobId: String(job.id),
    data: job.data,
    type: job.name,
    error: job.failedReason ?? "",
    // A job whose worker died at the last attempt is started once more, only to fail.
    attempts: Math.min(job.attemptsStarted, job.opts.attempts ?? 1),
    failedAt: new Date(job.finishedOn ?? 0),
  };
}
