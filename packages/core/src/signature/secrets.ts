import { type HmacKey, prepareKey } from "#hmac";
import type { Delivery } from "../delivery.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { RecentMap } from "../values/recent-map.js";

export type Secrets = string | readonly string[];

/**
 * A secret; a list of secrets that are all valid at once (rotation, or one per subscription); or a
 * function of the delivery that returns either, now or later.
 */
export type SecretSource = Secrets | ((delivery: Delivery) => MaybePromise<Secrets | undefined>);

/** Keys that a function's secrets were made into are kept for this many secrets at least. */
const CACHED_KEYS = 1_000;

/**
 * Turns a source into a function that gives the keys to try, prepared once per secret.
 *
 * @throws TypeError if a secret is missing, empty, not a string, or edged with white space. For a
 * function's secrets the error comes from the call instead, as do those of the function.
 */
export function keysFrom(
  source: SecretSource | undefined,
): (delivery: Delivery) => MaybePromise<readonly HmacKey[]> {
  if (typeof source !== "function") {
    let keys: MaybePromise<readonly HmacKey[]> = all(listOf(source).map(prepareKey));
    if (isThenable(keys)) {
      // Resolved long before the first delivery as a rule; from then on nothing is awaited.
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

/** @throws TypeError as `keysFrom`. */
export function preparedKeys(secrets: readonly string[]): MaybePromise<readonly HmacKey[]> {
  return all(listOf(secrets).map(prepareKey));
}

/**
 * The secrets themselves, for finding out why a signature does not fit.
 *
 * @throws what `keysFrom` and its function throw.
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
      "The secret is undefined: is its environment variable set? For subscriptions without a secret, pass { unsigned: true }.",
    );
  }
  const list: readonly unknown[] = Array.isArray(source) ? source : [source];
  if (list.length === 0) throw new TypeError("The list of secrets is empty.");
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
        "The secret begins or ends with white space, perhaps the line break of the file it came from. Trim it.",
      );
    }
    return secret;
  });
}

function all<T>(values: readonly MaybePromise<T>[]): MaybePromise<readonly T[]> {
  return values.some(isThenable) ? Promise.all(values) : (values as readonly T[]);
}
