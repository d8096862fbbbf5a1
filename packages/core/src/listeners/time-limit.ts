import type { ReceivedEvent } from "../event.js";
import { isThenable, type MaybePromise } from "../values/maybe-promise.js";

// biome-ignore lint/suspicious/noExplicitAny: the registry's public signatures say what a listener takes
export type AnyListener = (...args: any[]) => unknown;

/** Calls all, waits for all, and gives what they threw; at once if there is nothing to wait for. */
export function runAll(all: readonly AnyListener[], ...args: unknown[]): MaybePromise<readonly unknown[]> {
  const failures: unknown[] = [];
  const pending: PromiseLike<unknown>[] = [];
  const fail = (error: unknown) => void failures.push(error);
  for (const listener of all) {
    try {
      const result = listener(...args);
      if (isThenable(result)) pending.push(Promise.resolve(result).then(undefined, fail));
    } catch (error) {
      fail(error);
    }
  }
  const [first] = pending;
  if (first === undefined) return failures;
  return (pending.length === 1 ? first : Promise.all(pending)).then(() => failures);
}

/** The time limit of one event. */
export class TimeLimit {
  readonly #controller = new AbortController();
  #joined = false;
  #leave = () => {};

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The limit's signal. Until the event is over, it aborts with the other one, too. */
  join(signal: AbortSignal): AbortSignal {
    if (!this.#joined) {
      this.#joined = true;
      const abort = () => this.#controller.abort(signal.reason);
      if (signal.aborted) abort();
      else {
        signal.addEventListener("abort", abort, { once: true });
        // The other one may outlive this event by far.
        this.#leave = () => signal.removeEventListener("abort", abort);
      }
    }
    return this.signal;
  }

  /** The event is over; its signal stays as it is. */
  end(): void {
    this.#joined = true;
    this.#leave();
  }

  abort(reason: unknown): void {
    this.end();
    this.#controller.abort(reason);
  }
}

/** Runs listeners as `runAll`, but no longer than for `timeout` seconds. What comes after that is told to `onLate`. */
export function runWithin<Event extends ReceivedEvent>(
  timeout: number,
  all: readonly AnyListener[],
  event: Event,
  contextFor: (limit: TimeLimit) => unknown,
  onLate: (error: unknown) => void,
): MaybePromise<readonly unknown[]> {
  const limit = new TimeLimit();
  const about = `event ${event.id || "(without an id)"} of type ${event.type}`;
  const failures: unknown[] = [];
  let over: DOMException | undefined;
  const fail = (error: unknown) => {
    if (over === undefined) failures.push(error);
    else if (!isAbort(error, limit.signal.reason)) onLate(error);
  };
  const succeed = () => {
    if (over) onLate(new Error(`A listener finished ${about} after its timeout: it may run again.`));
  };
  const watched = all.map((listener) => (...args: unknown[]) => {
    try {
      const result = listener(...args);
      return isThenable(result) ? Promise.resolve(result).then(succeed, fail) : undefined;
    } catch (error) {
      fail(error);
    }
  });
  const ran = runAll(watched, event, contextFor(limit));
  if (!isThenable(ran)) {
    limit.end();
    return failures;
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      over = new DOMException(
        `The listeners of ${about} took longer than ${timeout} seconds.`,
        "TimeoutError",
      );
      failures.push(over);
      limit.abort(over);
      resolve(failures);
    }, timeout * 1000);
    ran.then(() => {
      clearTimeout(timer);
      limit.end();
      resolve(failures);
    });
  });
}

/** Waits for a promise, but no longer than so many seconds. */
export function atMost(seconds: number, value: MaybePromise<unknown>): MaybePromise<unknown> {
  if (!isThenable(value)) return value;
  return new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    value.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Whether an error is how a listener says that it was aborted. */
function isAbort(error: unknown, reason: unknown): boolean {
  return error === reason || (error instanceof Error && error.cause === reason);
}
