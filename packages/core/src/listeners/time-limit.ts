import type { ReceivedEvent } from "../event.js";
import { startOf } from "../text/describe.js";
import { isThenable, type MaybePromise } from "../values/maybe-promise.js";

// biome-ignore lint/suspicious/noExplicitAny: the registry's public signatures state a listener's parameters
export type AnyListener = (...args: any[]) => unknown;

/** Calls all listeners, waits for their promises, and returns their errors. Synchronous if none returns a promise. */
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

/** The time limit of one event. It owns the abort signal that the listeners get. */
export class TimeLimit {
  readonly #controller = new AbortController();
  #isJoined = false;
  #leave = () => {};

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Returns the limit's signal. Until the event ends, the signal also aborts when `signal` does. */
  join(signal: AbortSignal): AbortSignal {
    if (!this.#isJoined) {
      this.#isJoined = true;
      const abort = () => this.#controller.abort(signal.reason);
      if (signal.aborted) abort();
      else {
        signal.addEventListener("abort", abort, { once: true });
        // `signal` may live much longer than this event, and would keep the listener.
        this.#leave = () => signal.removeEventListener("abort", abort);
      }
    }
    return this.signal;
  }

  /** Call this when the event ends. From then on `join` has no effect, and the joined signal no longer aborts. */
  end(): void {
    this.#isJoined = true;
    this.#leave();
  }

  abort(reason: unknown): void {
    this.end();
    this.#controller.abort(reason);
  }
}

const FIX = "Raise `timeout`, or stop at context.signal.";

/**
 * Runs listeners as `runAll` does, but waits at most `timeout` seconds for their promises. After that it
 * aborts their signal and returns a `TimeoutError` among the errors. Listeners that ignore the signal run on.
 *
 * @param onLate Called for each listener that ends after the timeout: with its error, or with an error
 * that says that it finished late. Not called for an error that is, or was caused by, the abort.
 */
export function runWithin<Event extends ReceivedEvent>(
  timeout: number,
  all: readonly AnyListener[],
  event: Event,
  contextFor: (limit: TimeLimit) => unknown,
  onLate: (error: unknown) => void,
): MaybePromise<readonly unknown[]> {
  const limit = new TimeLimit();
  const about = `event ${event.id || "(without an id)"} of type ${startOf(event.type, 100)}`;
  const failures: unknown[] = [];
  let over: DOMException | undefined;
  const fail = (error: unknown) => {
    if (over === undefined) failures.push(error);
    else if (!isAbort(error, limit.signal.reason)) onLate(error);
  };
  const succeed = () => {
    if (over)
      onLate(new Error(`A listener finished ${about} after its timeout, so the event may run again. ${FIX}`));
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
        `The listeners of ${about} took longer than ${timeout} seconds. ${FIX}`,
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

/** Returns whether the abort caused a listener's error. */
function isAbort(error: unknown, reason: unknown): boolean {
  return error === reason || (error instanceof Error && error.cause === reason);
}
