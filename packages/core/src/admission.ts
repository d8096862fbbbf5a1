import type { ErrorCode } from "./errors.js";

/** Counts the deliveries in flight. Refuses those beyond `maxInFlight`, and all once it is closed. */
export function createAdmission(maxInFlight = Number.POSITIVE_INFINITY) {
  let inFlight = 0;
  let closed: Promise<void> | undefined;
  let onIdle = () => {};
  return {
    /** Returns why a delivery is refused. Each call needs one call of `leave`, refused or not. */
    enter(): ErrorCode | undefined {
      const isFull = inFlight++ >= maxInFlight;
      return closed ? "SHUTTING_DOWN" : isFull ? "OVERLOADED" : undefined;
    },
    leave(): void {
      if (--inFlight === 0) onIdle();
    },
    /** Refuses every delivery from now on. Resolves when none is in flight. */
    close(): Promise<void> {
      closed ??= new Promise((resolve) => {
        if (inFlight === 0) resolve();
        else onIdle = resolve;
      });
      return closed;
    },
  };
}
