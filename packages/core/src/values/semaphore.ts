interface Semaphore {
  /** Returns `undefined` if a place is free. Otherwise the promise resolves when it is this caller's turn. */
  acquire(): Promise<void> | undefined;
  release(): void;
}

/** Makes a semaphore for `max` holders at once. The others wait in the order of their calls. */
export function createSemaphore(max: number): Semaphore {
  let free = max;
  const waiting: (() => void)[] = [];
  let next = 0;
  return {
    acquire() {
      if (free > 0) {
        free--;
        return undefined;
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    release() {
      // An index, because `shift` moves all others.
      const resume = waiting[next++];
      if (resume !== undefined) return resume();
      free++;
      waiting.length = 0;
      next = 0;
    },
  };
}
