import { type HmacKey, prepareKey } from "#hmac";
import type { Delivery } from "../delivery.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { RecentMap } from "../values/recent-map.js";

export type Secrets = string | readonly string[];

/**
 * A secret; a list of secrets that are all valid (rotation, or one per subscription); or a function of
 * the delivery that returns either, or a promise of either.
 */
export type SecretSource = Secrets | ((delivery: Delivery) => MaybePromise<Secrets | undefined>);

/** The least number of a function's secrets whose prepared keys are kept. */
const CACHED_KEYS = 1_000;

/**
 * Returns a function that gives the keys to try. Each secret is prepared once.
 *
 * @throws TypeError if a secret is missing, empty, not a string, or has white space around it. For a
 * secret function, the returned function throws or rejects instead, also with the function's own error.
 */
export function keysFrom(
  source: SecretSource | undefined,
): (delivery: Delivery) => MaybePromise<readonly HmacKey[]> {
  if (typeof source !== "function") {
    let keys: MaybePromise<readonly HmacKey[]> = all(listOf(source).map(prepareKey));
    if (isThenable(keys)) {
      // Usually resolved long before the first delivery. From then on nothing is awaited.
      keys.then((ready) => {
        keys = ready;
      });
    }
    return () => keys;
  }
  const cache = new RecentMap<MaybePromise<HmacKey> & object>(CACHED_KEYS);
  const prepare = (secrets: Secrets | undefined) =>
    all(
      listOf(secrets).map((secret) => {
        const known = cache.get(secret);
        if (known !== undefined) return known;
        const key = prepareKey(secret);
        cache.set(secret, key);
        return key;
      }),
    );
  return (delivery) => andThen(source(delivery), prepare);
}

/** Prepares the keys of these secrets. @throws TypeError as `keysFrom`. */
export function preparedKeys(secrets: readonly string[]): MaybePromise<readonly HmacKey[]> {
  return all(listOf(secrets).map(prepareKey));
}

/**
 * Returns the secrets themselves, to find out why a signature does not fit.
 *
 * @throws as `keysFrom` and its function do.
 */
export async function secretsFrom(
  source: SecretSource | undefined,
  delivery: Delivery,
): Promise<readonly string[]> {
  return listOf(typeof source === "function" ? await source(delivery) : source);
}

function listOf(source: Secrets | undefined): readonly string[] {
  if (source === undefined) {
    throw new TypeError(
      "The secret is undefined. Set its environment variable or, for subscriptions without a secret, pass { unsigned: true }.",
    );
  }
  const list: readonly unknown[] = Array.isArray(source) ? source : [source];
  if (list.length === 0) throw new TypeError("The list of secrets is empty. Pass at least one secret.");
  return list.map((secret) => {
    if (typeof secret !== "string") {
      throw new TypeError(`A secret must be a string, not ${secret === null ? "null" : typeof secret}.`);
    }
    if (secret === "") {
      throw new TypeError(
        "The secret is empty. For subscriptions without a secret, pass { unsigned: true } and no secret.",
      );
    }
    if (secret !== secret.trim()) {
      throw new TypeError(
        "The secret begins or ends with white space, perhaps a line break from a file. Trim it.",
      );
    }
    return secret;
  });
}

function all<T>(values: readonly MaybePromise<T>[]): MaybePromise<readonly T[]> {
  return values.some(isThenable) ? Promise.all(values) : (values as readonly T[]);
}
