import type { ErrorCode } from "../errors.js";

export type Admission = ReturnType<typeof createAdmission>;

/** Counts the deliveries in flight. Refuses deliveries beyond `maxInFlight`, and all deliveries after `close`. */
export function createAdmission(maxInFlight = Number.POSITIVE_INFINITY) {
  let inFlight = 0;
  let closed: Promise<void> | undefined;
  let onIdle = () => {};
  return {
    /** Returns the code of a refusal, if there is one. Call `leave` once for each call, even for a refusal. */
    enter(): ErrorCode | undefined {
      const isFull = inFlight++ >= maxInFlight;
      return closed ? "SHUTTING_DOWN" : isFull ? "OVERLOADED" : undefined;
    },
    leave(): void {
      if (--inFlight === 0) onIdle();
    },
    /** Refuses all further deliveries. Resolves when no delivery is in flight. */
    close(): Promise<void> {
      closed ??= new Promise((resolve) => {
        if (inFlight === 0) resolve();
        else onIdle = resolve;
      });
      return closed;
    },
  };
}
