import type { ErrorCode } from "./errors.js";

/** Counts the deliveries in flight, and refuses what is too much or too late. */
export function createAdmission(maxInFlight = Number.POSITIVE_INFINITY) {
  let inFlight = 0;
  let closed: Promise<void> | undefined;
  let onIdle = () => {};
  return {
    /** Every call needs one of `leave`, whatever it gives. */
    enter(): ErrorCode | undefined {
      const isFull = inFlight++ >= maxInFlight;
      return closed ? "SHUTTING_DOWN" : isFull ? "OVERLOADED" : undefined;
    },
    leave(): void {
      if (--inFlight === 0) onIdle();
    },
    /** Resolves when nothing is in flight; from now on everything is refused. */
    close(): Promise<void> {
      closed ??= new Promise((resolve) => {
        if (inFlight === 0) resolve();
        else onIdle = resolve;
      });
      return closed;
    },
  };
}
