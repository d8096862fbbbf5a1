import { stopwatch } from "@crowdhook/core/sink";
import type { Job } from "bullmq";

/** A worker's lease on a running job. */
export interface Lease {
  /** Aborts when another worker may have taken over the job. */
  readonly signal: AbortSignal;
  /** Stops renewing the lease. */
  end(): void;
}

/**
 * Renews the lease on a running job until `end`. In place of BullMQ's own renewal, which pauses when the
 * wall clock is set back, and does not notice that a lease is over while Redis is away.
 *
 * @param onError Gets the errors of renewals.
 */
export function holdLease(
  job: Pick<Job, "extendLock">,
  token: string,
  leaseMs: number,
  onError: (error: unknown) => void,
): Lease {
  const controller = new AbortController();
  let age = stopwatch();
  let isRenewing = false;

  const end = () => clearInterval(timer);
  const lose = () => {
    end();
    controller.abort(new Error("The lease expired, and another worker may have taken over the event."));
  };
  const renew = async () => {
    const asked = stopwatch();
    if ((await job.extendLock(token, leaseMs)) === 1) age = asked;
    else lose();
  };
  const timer = setInterval(async () => {
    // True after a suspension of the machine, too.
    if (age() >= leaseMs) return lose();
    if (isRenewing) return;
    isRenewing = true;
    await renew().catch(onError);
    isRenewing = false;
  }, leaseMs / 4);

  return { signal: controller.signal, end };
}
