import { type EngineContext, type EngineWorker, type RunEvent, waitAtMost } from "@crowdhook/core/sink";
import { type Job, UnrecoverableError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { holdLease } from "./lease.js";

export interface BullmqWorker extends EngineWorker {
  /** Resolves when BullMQ's worker has closed. If Redis is away, that takes until its connection ends. */
  closed(): Promise<void>;
}

/** How long `stop` waits for Redis to take the last outcomes. */
const LAST_OUTCOMES_MS = 5_000;
/** BullMQ cannot store times that are several years ahead. */
const BACKOFF_MAX_MS = 365 * 24 * 60 * 60 * 1000;

export function startWorker(
  { settings, queueName, reportUnreachable, messageOf }: EngineContext,
  client: Redis,
  provider: string,
  run: RunEvent,
  concurrency: number,
): BullmqWorker {
  const leaseMs = settings.lease * 1000;
  const running = new Set<Promise<void>>();
  const worker = new Worker(
    queueName(provider),
    async (job, token) => {
      const lease = holdLease(job, token as string, leaseMs, reportUnreachable);
      const handling = handle(job, run, lease.signal, messageOf);
      running.add(handling);
      try {
        await handling;
      } finally {
        lease.end();
        running.delete(handling);
      }
    },
    {
      connection: client,
      concurrency,
      lockDuration: leaseMs,
      // `holdLease` renews.
      skipLockRenewal: true,
      stalledInterval: leaseMs / 2,
      // `handle` limits the attempts, and counts those whose worker died.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      runRetryDelay: 1_000,
      settings: { backoffStrategy: (_made, _type, _error, job) => delayOf(job as Job, settings.backoff) },
    },
  );
  worker.on("error", reportUnreachable);
  let closing: Promise<void> | undefined;

  return {
    async stop() {
      let isClosed = false;
      closing = worker.close().then(() => {
        isClosed = true;
      });
      do {
        await Promise.allSettled(running);
        await waitAtMost(LAST_OUTCOMES_MS, closing);
        // A fetch that was under way can have started another event.
      } while (!isClosed && running.size > 0);
    },
    closed: async () => closing,
  };
}

async function handle(
  job: Job,
  run: RunEvent,
  signal: AbortSignal,
  messageOf: (error: unknown) => string,
): Promise<void> {
  // Unlike `attemptsMade`, this counts attempts whose worker died.
  const attempt = job.attemptsStarted;
  if (attempt > (job.opts.attempts ?? 1)) {
    throw new UnrecoverableError("The worker ended, or lost its connection, at the last attempt.");
  }
  try {
    await run(job.data, { signal, attempt, progress: (value) => job.updateProgress(value) });
  } catch (error) {
    // BullMQ stores the message, and treats errors of certain names specially.
    throw new Error(messageOf(error));
  }
}

/** Returns the delay before the next attempt in milliseconds, or -1 for no further attempt. */
function delayOf({ attemptsStarted, opts }: Job, backoff: number): number {
  if (attemptsStarted >= (opts.attempts ?? 1)) return -1;
  return Math.min(backoff * 1000 * 2 ** (attemptsStarted - 1) * (1 + Math.random()), BACKOFF_MAX_MS);
}
