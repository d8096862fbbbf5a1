import { kindOf } from "../errors.js";
import { isThenable, type MaybePromise } from "../values/maybe-promise.js";

/** A store that has not answered after this long has failed. */
const STORE_TIMEOUT_MS = 3_000;

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

/** @param onTrouble Gets a sentence for the operator, and the kind of the store's error. */
export function createStoreCalls(onTrouble: (trouble: string, kind: string) => void): CallStore {
  const fail = (error: unknown) => {
    const kind = kindOf(error);
    onTrouble(`the claim store failed (${kind})`, kind);
    return undefined;
  };
  return (call, onLate) => {
    try {
      const answer = call();
      return isThenable(answer) ? withinTimeLimit(answer, fail, onLate) : answer;
    } catch (error) {
      return fail(error);
    }
  };
}

function withinTimeLimit<T>(
  answer: PromiseLike<T>,
  fail: (error: unknown) => undefined,
  onLate?: (answer: T) => void,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let isWaiting = true;
    const finish = (result: T | undefined) => {
      isWaiting = false;
      clearTimeout(timer);
      resolve(result);
    };
    const timer = setTimeout(() => finish(fail(new StoreTimeout())), STORE_TIMEOUT_MS);
    Promise.resolve(answer).then(
      (result) => (isWaiting ? finish(result) : onLate?.(result)),
      (error) => isWaiting && finish(fail(error)),
    );
  });
}

class StoreTimeout extends Error {
  override name = "StoreTimeout";
}
