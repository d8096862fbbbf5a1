/** A place in a lane. */
export interface Place {
  /** Resolves when all that entered the lane before have left it; `undefined` if it is empty. */
  readonly ahead: Promise<void> | undefined;
  leave(): void;
}

/** Lanes by key: who enters one is behind all that entered it before and have not left. */
export function createOrderingQueues() {
  const last = new Map<string, Promise<void>>();
  return {
    /** Without a key there is nothing to wait for, and nobody who waits. */
    enter(key: string | undefined): Place {
      if (key === undefined) return { ahead: undefined, leave() {} };
      const ahead = last.get(key);
      let leave = () => {};
      // Who leaves early lets nobody pass those that are still ahead.
      const passed = new Promise<void>((resolve) => {
        leave = () => resolve(ahead);
      });
      last.set(key, passed);
      passed.then(() => {
        if (last.get(key) === passed) last.delete(key);
      });
      return { ahead, leave };
    },
  };
}

/** Lets `max` in at once; those that wait get in, in the order in which they came, as others leave. */
export function createSemaphore(max: number) {
  let free = max;
  const waiting: (() => void)[] = [];
  return {
    acquire(): Promise<void> | undefined {
      if (free > 0) {
        free--;
        return undefined;
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    release(): void {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    },
  };
}
