import { kindOf } from "../errors.js";
import { isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { createSemaphore } from "../values/semaphore.js";

/** A store that has not answered after this long has failed. */
const STORE_TIMEOUT_MS = 3_000;

/**
 * How many calls of one delivery run at once. A client that gets all calls of 10,000 events at once answers
 * the last ones after their time limit.
 */
const CALLS_MAX = 500;

/**
 * Makes one call to the claim store. Returns its answer, or `undefined` if the store throws, rejects
 * or does not answer in time: a failing store leads to a redelivery, and never counts as a failing listener.
 *
 * @param onLate Gets an answer that comes after the time limit.
 */
export type CallStore = <T>(
  call: () => MaybePromise<T>,
  onLate?: (answer: T) => void,
) => MaybePromise<T | undefined>;

/**
 * Makes the function for the calls of one delivery. While the store fails, calls that wait for their turn
 * fail, too: a store that does not answer holds up a delivery for one time limit, however many events it has.
 *
 * @param onTrouble Gets a sentence for the operator, and the kind of the store's error.
 */
export function createStoreCalls(onTrouble: (trouble: string, kind: string) => void): CallStore {
  const { acquire, release } = createSemaphore(CALLS_MAX);
  /** Whether the last call that ended has failed. */
  let hasFailed = false;
  const fail = (error: unknown) => {
    const kind = kindOf(error);
    onTrouble(`the claim store failed (${kind})`, kind);
    return undefined;
  };
  const end = (failed: boolean) => {
    hasFailed = failed;
    release();
  };
  const ask: CallStore = (call, onLate) => {
    try {
      const answer = call();
      if (isThenable(answer)) return withinTimeLimit(answer, fail, end, onLate);
      end(false);
      return answer;
    } catch (error) {
      end(true);
      return fail(error);
    }
  };
  return (call, onLate) => {
    const turn = acquire();
    if (turn === undefined) return ask(call, onLate);
    return turn.then(() => {
      if (!hasFailed) return ask(call, onLate);
      release();
      return undefined;
    });
  };
}

function withinTimeLimit<T>(
  answer: PromiseLike<T>,
  fail: (error: unknown) => undefined,
  onEnd: (failed: boolean) => void,
  onLate?: (answer: T) => void,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let isWaiting = true;
    const finish = (failed: boolean, result: T | undefined) => {
      isWaiting = false;
      clearTimeout(timer);
      onEnd(failed);
      resolve(result);
    };
    const timer = setTimeout(() => finish(true, fail(new StoreTimeout())), STORE_TIMEOUT_MS);
    Promise.resolve(answer).then(
      (result) => (isWaiting ? finish(false, result) : onLate?.(result)),
      (error) => isWaiting && finish(true, fail(error)),
    );
  });
}

class StoreTimeout extends Error {
  override name = "StoreTimeout";
}
