import type { Job, Jobs } from "./queued-jobs.js";

/** The leases of the jobs that a worker runs. */
export interface Leases {
  /** Renews the job's lease from now on. The signal aborts when another worker may have taken it over. */
  hold(job: Job): AbortSignal;
  end(job: Job): void;
  /** Returns the number of running jobs. */
  running(): number;
  /**
   * Runs one statement at a time, renewals included. Storing outcomes and renewing leases lock the same
   * rows in different orders: at the same time, they would deadlock.
   */
  exclusively<T>(statement: () => Promise<T>): Promise<T>;
  close(): void;
}

/** Node runs a longer timer at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

interface Held {
  readonly controller: AbortController;
  /** When the lease was last known to hold. */
  since: Moment;
}

/**
 * A time on two clocks. The monotonic one stands still while the machine is suspended; the other one can
 * be set.
 */
interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

const now = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });

/** Returns the milliseconds since then, by the clock that counted more. */
function elapsed(since: Moment): number {
  const { monotonic, wall } = now();
  return Math.max(monotonic - since.monotonic, wall - since.wall);
}

/** @param lease How long a lease lasts, in milliseconds. */
export function createLeases(
  jobs: Pick<Jobs, "renew">,
  lease: number,
  onError: (error: unknown) => void,
): Leases {
  const running = new Map<Job, Held>();
  let last: Promise<unknown> = Promise.resolve();

  function exclusively<T>(statement: () => Promise<T>): Promise<T> {
    const result = last.then(statement);
    last = result.catch(() => {});
    return result;
  }

  async function renewAll(): Promise<void> {
    const begun = now();
    let held: Job[] = [];
    const ours = await exclusively(async () => {
      held = [...running.keys()];
      return held.length > 0 ? jobs.renew(held) : new Set<string>();
    });
    for (const job of held) {
      const entry = running.get(job);
      if (!entry) continue;
      if (ours.has(job.id)) entry.since = begun;
      else entry.controller.abort(new Error("The lease expired, and another worker took over the event."));
    }
  }

  /** Aborts jobs whose lease could not be renewed in time: another worker may run them now. */
  function abortExpired(): void {
    for (const { since, controller } of running.values()) {
      if (elapsed(since) > lease) {
        controller.abort(new Error("The lease could not be renewed, and another worker may take over."));
      }
    }
  }

  let renewing = false;
  const timer = setInterval(
    async () => {
      if (renewing) return abortExpired();
      if (running.size === 0) return;
      renewing = true;
      // After a suspension the lease may still hold, so ask first.
      await renewAll().catch((error) => {
        onError(error);
        abortExpired();
      });
      renewing = false;
    },
    Math.min(lease / 3, TIMER_MAX_MS),
  );

  return {
    hold(job) {
      const controller = new AbortController();
      running.set(job, { controller, since: now() });
      return controller.signal;
    },
    end: (job) => void running.delete(job),
    running: () => running.size,
    exclusively,
    close: () => clearInterval(timer),
  };
}
