import { type EngineWorker, waitAtMost } from "@crowdhook/core/sink";

/** A stored event, fetched by this worker. */
export interface Job {
  readonly id: string;
  readonly data: unknown;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
}

/** The queue that a worker fetches jobs from and stores their outcomes in. */
export interface Jobs {
  fetch(max: number): Promise<readonly Job[]>;
  complete(ids: readonly string[]): Promise<void>;
  fail(id: string, error: unknown): Promise<void>;
  /** Renews the leases of jobs. Resolves with the ids of the jobs that this worker still holds. */
  renew(jobs: readonly Job[]): Promise<ReadonlySet<string>>;
}

export interface PollingOptions {
  /** How many jobs run at a time. */
  readonly concurrency: number;
  /** How often leases are renewed, in milliseconds. */
  readonly renewEvery: number;
}

/** The pause after a fetch that left places free. */
const POLL_MS = 1_000;
/** The pause after a failed statement. */
const RETRY_MS = 1_000;
/** How long `stop` waits for a failing database to take the last outcomes. */
const LAST_OUTCOMES_MS = 5_000;

/**
 * Polls for jobs and runs them until it is stopped. A round takes two statements, whatever the
 * concurrency: one completes all finished jobs, the other fetches a job for each free place.
 */
export function startWorker(
  jobs: Jobs,
  run: (job: Job, signal: AbortSignal) => Promise<void>,
  { concurrency, renewEvery }: PollingOptions,
  onError: (error: unknown) => void,
): Required<EngineWorker> {
  const running = new Map<Job, AbortController>();
  /** Jobs that ended, and whose outcome is not stored yet. A failed one has its error. */
  const ended = new Map<Job, { error?: unknown }>();
  /** Running jobs that another worker has taken over. */
  const lost = new WeakSet<Job>();
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
  const exclusively = createMutex();

  const start = async (job: Job) => {
    const controller = new AbortController();
    running.set(job, controller);
    try {
      await run(job, controller.signal);
      ended.set(job, {});
    } catch (error) {
      // Storing the failure of a lost job would fail the attempt of the worker that took it over.
      if (!lost.has(job)) ended.set(job, { error });
    }
    running.delete(job);
    if (stopping && running.size === 0) onDrained();
    wake();
  };

  const storeOutcomes = async () => {
    const completed: Job[] = [];
    const failed: [job: Job, error: unknown][] = [];
    for (const [job, outcome] of ended) {
      if ("error" in outcome) failed.push([job, outcome.error]);
      else completed.push(job);
    }
    if (completed.length > 0) {
      await jobs.complete(completed.map(({ id }) => id));
      for (const job of completed) ended.delete(job);
    }
    await Promise.all(
      failed.map(async ([job, error]) => {
        // Renew first: without the lease, this would fail another worker's attempt.
        if ((await jobs.renew([job])).has(job.id)) await jobs.fail(job.id, error);
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
    while (!stopping || running.size > 0 || (ended.size > 0 && !abandoned)) {
      woken = false;
      try {
        if (ended.size > 0) await exclusively(storeOutcomes);
        const free = stopping ? 0 : concurrency - running.size;
        if (free > 0) fetching = jobs.fetch(free);
        const fetched = free > 0 ? await fetching : [];
        // `stop` no longer waits for these jobs. Another worker runs them once their lease expires.
        if (abandoned) return;
        for (const job of fetched) void start(job);
        const drained = stopping && running.size === 0;
        // Skip the pause if a job ended or arrived during this round.
        if (!woken && !drained) await pause(free > fetched.length ? POLL_MS : undefined);
      } catch (error) {
        onError(error);
        // Not `pause`: a job that ends must not cut short the wait for the database.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  const renewLeases = async () => {
    let held: Job[] = [];
    const ours = await exclusively(async () => {
      held = [...running.keys(), ...ended.keys()];
      return jobs.renew(held);
    });
    for (const job of held) {
      if (ours.has(job.id)) continue;
      lost.add(job);
      const outcome = ended.get(job);
      if (outcome && "error" in outcome) ended.delete(job);
      running.get(job)?.abort(new Error("The lease expired, and another worker took over the event."));
    }
  };
  let renewing = false;
  const renewal = setInterval(async () => {
    if (renewing || running.size + ended.size === 0) return;
    renewing = true;
    await renewLeases().catch(onError);
    renewing = false;
  }, renewEvery);

  const polling = poll().finally(() => clearInterval(renewal));
  return {
    wake,
    async stop() {
      stopping = true;
      wake();
      // Jobs of a fetch that is under way still run here.
      await waitAtMost(LAST_OUTCOMES_MS, fetching);
      if (running.size > 0) {
        await new Promise<void>((resolve) => {
          onDrained = resolve;
        });
      }
      await waitAtMost(LAST_OUTCOMES_MS, polling);
      abandoned = true;
    },
  };
}

/**
 * Returns a function that runs one statement at a time. Storing outcomes and renewing leases lock the
 * same rows in different orders: at the same time, they would deadlock.
 */
function createMutex(): <T>(statement: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (statement) => {
    const result = last.then(statement);
    last = result.catch(() => {});
    return result;
  };
}
