import { isThenable, type MaybePromise } from "./maybe-promise.js";

/**
 * Settles as `promise` does. If that takes longer than `milliseconds`, settles as `late()` does. Does not
 * cancel the work behind `promise`, and ignores its later rejection.
 */
export function withDeadline<T>(
  milliseconds: number,
  promise: PromiseLike<T>,
  late: () => T | PromiseLike<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    }, milliseconds);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Waits until `value` fulfills or rejects, for at most `milliseconds`. Never rejects. */
export function waitAtMost(milliseconds: number, value: MaybePromise<unknown>): MaybePromise<void> {
  if (!isThenable(value)) return;
  const nothing = () => {};
  return withDeadline<void>(milliseconds, value.then(nothing, nothing), nothing);
}
