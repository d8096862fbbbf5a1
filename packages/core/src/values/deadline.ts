import { isThenable, type MaybePromise } from "./maybe-promise.js";

/**
 * Settles as `promise` does or, after `milliseconds`, as `late()` does. The promise itself runs on:
 * nothing cancels it, and a later rejection of it is swallowed.
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

/** Waits until `value` settles, fulfilled or rejected, but at most `milliseconds`. Never rejects. */
export function waitAtMost(milliseconds: number, value: MaybePromise<unknown>): MaybePromise<void> {
  if (!isThenable(value)) return;
  const nothing = () => {};
  return withDeadline<void>(milliseconds, value.then(nothing, nothing), nothing);
}
