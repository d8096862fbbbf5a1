import { type EngineWorker, waitAtMost } from "@crowdhook/core/sink";
import { createLeases } from "./leases.js";
import type { Job, Jobs } from "./queued-jobs.js";

export interface WorkerOptions {
  /** Returns how many jobs run at a time. Called until it has resolved once. */
  readonly slots: () => number | Promise<number>;
  /** How long a lease lasts, in milliseconds. */
  readonly lease: number;
  /** Whether `wake` is called for events that other processes store. */
  readonly isNotified: () => boolean;
}

/** The pause after a fetch that left places free. */
const POLL_MS = 1_000;
/** The same if stored events wake the worker. Retries and the events of dead workers do not. */
const NOTIFIED_POLL_MS = 3_000;
/** The pause after a failed statement. */
const RETRY_MS = 1_000;
/** How long `stop` waits for a failing database to take the last outcomes. */
const LAST_OUTCOMES_MS = 5_000;

/**
 * Fetches jobs and runs them until it is stopped. A round takes two statements, whatever the number of
 * slots: one completes all finished jobs, the other fetches a job for each free slot.
 */
export function startWorker(
  jobs: Jobs,
  { slots, lease, isNotified }: WorkerOptions,
  onError: (error: unknown) => void,
): Required<EngineWorker> {
  const leases = createLeases(jobs, lease, onError);
  /** Jobs that ended, and whose outcome is not stored yet. A failed one has its error. */
  const ended = new Map<Job, { error?: unknown }>();
  let stopping = false;
  /** `stop` has returned: store nothing more. */
  let abandoned = false;
  let onDrained = () => {};
  let fetching: Promise<readonly Job[]> = Promise.resolve([]);
  let woken = false;
  let resume = () => {};
  const wake = () => {
    woken = true;
    resume();
  };
  const isIdle = () => leases.running() === 0;

  const start = async (job: Job) => {
    const signal = leases.hold(job);
    try {
      const { completed } = await jobs.run(job, signal);
      if (!completed) ended.set(job, {});
    } catch (error) {
      ended.set(job, { error });
    }
    leases.end(job);
    if (stopping && isIdle()) onDrained();
    wake();
  };

  const storeOutcomes = async () => {
    const outcomes = [...ended];
    const completed = outcomes.flatMap(([job, outcome]) => ("error" in outcome ? [] : [job]));
    if (completed.length > 0) {
      await jobs.complete(completed);
      for (const job of completed) ended.delete(job);
    }
    await Promise.all(
      outcomes.map(async ([job, outcome]) => {
        if (!("error" in outcome)) return;
        await jobs.fail(job, outcome.error);
        ended.delete(job);
      }),
    );
  };

  /** Resolves at `wake`, or after `milliseconds` if given. */
  const pause = (milliseconds: number | undefined) =>
    new Promise<void>((resolve) => {
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
      resume = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const poll = async () => {
    let all: number | undefined;
    while (!stopping || !isIdle() || (ended.size > 0 && !abandoned)) {
      woken = false;
      try {
        if (ended.size > 0) await leases.exclusively(storeOutcomes);
        all ??= await slots();
        const free = stopping ? 0 : all - leases.running();
        if (free > 0) fetching = jobs.fetch(free);
        const fetched = free > 0 ? await fetching : [];
        // `stop` no longer waits for these jobs. Another worker runs them once their lease expires.
        if (abandoned) return;
        for (const job of fetched) void start(job);
        const drained = stopping && isIdle();
        const idle = isNotified() ? NOTIFIED_POLL_MS : POLL_MS;
        // Skip the pause if a job ended or arrived during this round.
        if (!woken && !drained) await pause(free > fetched.length ? idle : undefined);
      } catch (error) {
        onError(error);
        // Not `pause`: a job that ends must not cut short the wait for the database.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  const polling = poll().finally(leases.close);
  return {
    wake,
    async stop() {
      stopping = true;
      wake();
      // Jobs of a fetch that is under way still run here.
      await waitAtMost(LAST_OUTCOMES_MS, fetching);
      if (!isIdle()) {
        await new Promise<void>((resolve) => {
          onDrained = resolve;
        });
      }
      await waitAtMost(LAST_OUTCOMES_MS, polling);
      abandoned = true;
    },
  };
}
