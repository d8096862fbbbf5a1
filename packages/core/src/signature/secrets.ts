import { type HmacKey, prepareKey } from "#hmac";
import type { Delivery } from "../delivery.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { RecentMap } from "../values/recent-map.js";

export type Secrets = string | readonly string[];

/**
 * A secret; a list of secrets that are all valid (for rotation, or one per subscription); or a function of
 * the delivery that returns either, or a promise of either. If the function fails or returns no valid
 * secret, the reply is 503 and the provider retries.
 */
export type SecretSource = Secrets | ((delivery: Delivery) => MaybePromise<Secrets | undefined>);

/** For secret functions: at least this many prepared keys stay in memory. */
const CACHED_KEYS = 1_000;

/** A secret is missing or malformed. The message is safe to log: it never contains the secret. */
export class InvalidSecretError extends TypeError {}

/**
 * Returns a function that returns the keys for a delivery. It caches prepared keys.
 *
 * @param variable The environment variable to name if the secret is undefined.
 * @throws InvalidSecretError if a secret is missing, empty, not a string, or has white space around it.
 * For a secret function, the returned function throws or rejects instead: with that error, or with the
 * error of the secret function.
 */
export function keysFrom(
  source: SecretSource | undefined,
  variable?: string,
): (delivery: Delivery) => MaybePromise<readonly HmacKey[]> {
  if (typeof source !== "function") {
    let keys: MaybePromise<readonly HmacKey[]> = all(listOf(source, variable).map(prepareKey));
    if (isThenable(keys)) {
      // Replaces the promise, so that later deliveries need not await it.
      keys.then((ready) => {
        keys = ready;
      });
    }
    return () => keys;
  }
  const cache = new RecentMap<MaybePromise<HmacKey> & object>(CACHED_KEYS);
  const prepare = (secrets: Secrets | undefined) =>
    all(
      listOf(secrets, variable).map((secret) => {
        const known = cache.get(secret);
        if (known !== undefined) return known;
        const key = prepareKey(secret);
        cache.set(secret, key);
        return key;
      }),
    );
  return (delivery) => andThen(source(delivery), prepare);
}

/** Prepares the keys of these secrets. @throws InvalidSecretError as `keysFrom` does. */
export function preparedKeys(secrets: readonly string[]): MaybePromise<readonly HmacKey[]> {
  return all(listOf(secrets).map(prepareKey));
}

/**
 * Returns the secrets themselves, for the search for a mistake.
 *
 * @throws as `keysFrom` and its function do.
 */
export async function secretsFrom(
  source: SecretSource | undefined,
  delivery: Delivery,
): Promise<readonly string[]> {
  return listOf(typeof source === "function" ? await source(delivery) : source);
}

function listOf(source: Secrets | undefined, variable?: string): readonly string[] {
  if (source === undefined || (Array.isArray(source) && source.includes(undefined))) {
    const subject = source === undefined ? "The secret" : "A secret of the list";
    const named =
      variable === undefined ? "its environment variable" : `the environment variable ${variable}`;
    throw new InvalidSecretError(
      `${subject} is undefined. Set ${named} or, for subscriptions without a secret, pass { unsigned: true }.`,
    );
  }
  const list: readonly unknown[] = Array.isArray(source) ? source : [source];
  if (list.length === 0)
    throw new InvalidSecretError("The list of secrets is empty. Pass at least one secret.");
  return list.map((secret) => {
    if (typeof secret !== "string") {
      throw new InvalidSecretError(
        `A secret must be a string, not ${secret === null ? "null" : typeof secret}.`,
      );
    }
    if (secret === "") {
      throw new InvalidSecretError(
        "The secret is empty. For subscriptions without a secret, pass { unsigned: true } and no secret.",
      );
    }
    if (secret !== secret.trim()) {
      throw new InvalidSecretError(
        "The secret begins or ends with white space, perhaps a line break from a file. Trim it.",
      );
    }
    return secret;
  });
}

function all<T>(values: readonly MaybePromise<T>[]): MaybePromise<readonly T[]> {
  return values.some(isThenable) ? Promise.all(values) : (values as readonly T[]);
}
