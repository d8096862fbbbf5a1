/** A clock that stands still until a test moves it. */
export interface TestClock {
  /** Returns Unix time in milliseconds. */
  (): number;
  set(time: number): void;
  /** Moves the clock by `milliseconds`; a negative number moves it back. */
  advance(milliseconds: number): void;
}

/**
 * Creates a clock for the option `clock`.
 *
 * @param time The first time that it returns: Unix time in milliseconds. Default: now.
 */
export function testClock(time = Date.now()): TestClock {
  let now = time;
  return Object.assign(() => now, {
    set(to: number) {
      now = to;
    },
    advance(milliseconds: number) {
      now += milliseconds;
    },
  });
}
