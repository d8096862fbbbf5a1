/** A place in the queue of an ordering key. */
export interface Place {
  /** Resolves when all earlier places of the key are free; `undefined` if there are none. */
  readonly ahead: Promise<void> | undefined;
  leave(): void;
}

/** Makes one queue per ordering key: each place waits for all earlier places of its key. */
export function createOrderingQueues() {
  const last = new Map<string, Promise<void>>();
  return {
    /** An event without a key waits for nothing, and nothing waits for it. */
    enter(key: string | undefined): Place {
      if (key === undefined) return { ahead: undefined, leave() {} };
      const ahead = last.get(key);
      let leave = () => {};
      const passed = new Promise<void>((resolve) => {
        // Resolved with the earlier places, so that leaving early lets nobody overtake them.
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

/** Makes a semaphore: `max` holders at once, and the others wait in the order in which they came. */
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
