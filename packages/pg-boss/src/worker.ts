/** An event that is to be handled. */
export interface Job {
  readonly id: string;
  readonly data: unknown;
  /** How often it has been tried, this time included. */
  readonly attempt: number;
}

/** Where jobs come from, and where is noted what became of them. */
export interface Jobs {
  fetch(max: number): Promise<readonly Job[]>;
  complete(ids: readonly string[]): Promise<void>;
  fail(id: string, error: unknown): Promise<void>;
  /** Keeps jobs from being given to another worker. Resolves with the ids of those that still are ours. */
  renew(jobs: readonly Job[]): Promise<ReadonlySet<string>>;
}

export interface Worker {
  /** Looks for jobs now. */
  wake(): void;
  /** Begins no more jobs. Resolves when what became of those that had begun is noted. */
  stop(): Promise<void>;
}

/** Where no job was found, it is looked again after so long. */
const POLL_MS = 1_000;
/** Where the engine failed, it is asked again after so long. */
const RETRY_MS = 1_000;
/** When told to stop, an engine that fails is given this long to note what became of the last jobs. */
const LAST_WORDS_MS = 5_000;

/**
 * Runs jobs, at most `concurrency` at once, until it is stopped. Two statements a round, whatever the
 * concurrency: one notes all that is done by then, one fetches as many as there are free places.
 *
 * @param renewEvery In milliseconds.
 */
export function startWorker(
  jobs: Jobs,
  run: (job: Job, signal: AbortSignal) => Promise<void>,
  { concurrency, renewEvery }: { concurrency: number; renewEvery: number },
  onTrouble: (error: unknown) => void,
): Worker {
  const running = new Map<Job, AbortController>();
  /** Run, and not noted. With an error if they failed. */
  const done = new Map<Job, { error?: unknown }>();
  /** Jobs that are another worker's by now. */
  const lost = new WeakSet<Job>();
  let stopped = false;
  let silent = false;
  let drained = () => {};
  let fetching: Promise<readonly Job[]> = Promise.resolve([]);
  let woken = false;
  let resume = () => {};
  const wake = () => {
    woken = true;
    resume();
  };

  /** Noting and renewing lock the same rows, each in an order of its own: at once, they would deadlock. */
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(statement: () => Promise<T>): Promise<T> => {
    const result = last.then(statement);
    last = result.catch(() => {});
    return result;
  };

  const start = async (job: Job) => {
    const controller = new AbortController();
    running.set(job, controller);
    try {
      await run(job, controller.signal);
      done.set(job, {});
    } catch (error) {
      // A failure of what is lost would be taken for one of the worker that has it.
      if (!lost.has(job)) done.set(job, { error });
    }
    running.delete(job);
    if (stopped && running.size === 0) drained();
    wake();
  };

  const note = async () => {
    const completed: Job[] = [];
    const failed: [job: Job, error: unknown][] = [];
    for (const [job, outcome] of done) {
      if ("error" in outcome) failed.push([job, outcome.error]);
      else completed.push(job);
    }
    if (completed.length > 0) {
      await jobs.complete(completed.map(({ id }) => id));
      for (const job of completed) done.delete(job);
    }
    await Promise.all(
      failed.map(async ([job, error]) => {
        // Or it would be the failure of the worker that has it by now.
        if ((await jobs.renew([job])).has(job.id)) await jobs.fail(job.id, error);
        done.delete(job);
      }),
    );
  };

  /** Until something happens that may give it work. */
  const pause = (milliseconds: number | undefined) =>
    new Promise<void>((resolve) => {
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
      resume = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const work = async () => {
    while (!stopped || running.size > 0 || (done.size > 0 && !silent)) {
      woken = false;
      try {
        if (done.size > 0) await alone(note);
        const free = stopped ? 0 : concurrency - running.size;
        if (free > 0) fetching = jobs.fetch(free);
        const fetched = free > 0 ? await fetching : [];
        // Nobody waits for them any more: they are another's when their lease is over.
        if (silent) return;
        for (const job of fetched) void start(job);
        // What has happened since the round began is not to be waited for.
        const isOver = stopped && running.size === 0;
        if (!woken && !isOver) await pause(free > fetched.length ? POLL_MS : undefined);
      } catch (error) {
        onTrouble(error);
        // Not woken by what ends meanwhile: it is the engine that is to be waited for.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  let renewing = false;
  const renewal = setInterval(async () => {
    if (renewing || running.size + done.size === 0) return;
    renewing = true;
    try {
      let held: Job[] = [];
      const ours = await alone(async () => {
        held = [...running.keys(), ...done.keys()];
        return jobs.renew(held);
      });
      for (const job of held) {
        if (ours.has(job.id)) continue;
        lost.add(job);
        const outcome = done.get(job);
        if (outcome && "error" in outcome) done.delete(job);
        running.get(job)?.abort(new Error("The event is another worker's by now: its lease was over."));
      }
    } catch (error) {
      onTrouble(error);
    }
    renewing = false;
  }, renewEvery);

  const ended = work().finally(() => clearInterval(renewal));
  return {
    wake,
    async stop() {
      stopped = true;
      wake();
      // What is being fetched is handled, too.
      await atMost(LAST_WORDS_MS, fetching);
      if (running.size > 0) {
        await new Promise<void>((resolve) => {
          drained = resolve;
        });
      }
      await atMost(LAST_WORDS_MS, ended);
      silent = true;
    },
  };
}

/** Waits for a promise, whatever becomes of it, but no longer than that. */
async function atMost(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise.catch(() => {}), late]);
  clearTimeout(timer);
}
