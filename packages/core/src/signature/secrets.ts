import { type HmacKey, prepareKey } from "#hmac";
import type { Delivery } from "../delivery.js";
import type { Provider } from "../provider.js";
import { withDeadline } from "../values/deadline.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { RecentMap } from "../values/recent-map.js";

/** A secret, or a list of secrets that are all valid. */
export type Secrets = string | readonly string[];

/**
 * A secret; a list of secrets that are all valid (for rotation, or one per subscription); or a function of
 * the delivery that returns either, or a promise of either. If the function fails, takes longer than 5
 * seconds or returns no valid secret, the reply is 503 and the provider retries.
 *
 * All secrets of a list stand for one sender. The receiver tries each of them for each delivery, and the
 * owner of one secret can send an event under an id of another owner, whose own event then counts as a
 * duplicate. For several tenants, make one receiver per tenant, each with its own claims.
 */
export type SecretSource = Secrets | ((delivery: Delivery) => MaybePromise<Secrets | undefined>);

/** How many secrets a list may have. The body is hashed once for each of them. */
const SECRETS_MAX = 1_000;
/** For secret functions: at least this many prepared keys stay in memory. */
const CACHED_KEYS = SECRETS_MAX;
/** How long a secret function may take. */
const SECRET_TIMEOUT_MS = 5_000;

/** A secret is missing or malformed. The message is safe to log: it never contains the secret. */
export class InvalidSecretError extends TypeError {}

/** A secret function took too long. */
export class SecretTimeoutError extends Error {
  constructor(seconds: number) {
    super(`has not answered within ${seconds} seconds`);
  }
}

/** How the provider's secrets become keys. */
export type KeyFormat = Pick<Provider, "secretVariable" | "hmac">;

/**
 * Returns a function that returns the keys for a delivery. It caches prepared keys.
 *
 * @throws InvalidSecretError if a secret is missing, empty, not a string, or has white space around it.
 * For a secret function, the returned function throws or rejects instead: with that error, with a
 * SecretTimeoutError, or with the error of the secret function.
 */
export function keysFrom(
  source: SecretSource | undefined,
  format: KeyFormat,
): (delivery: Delivery) => MaybePromise<readonly HmacKey[]> {
  if (typeof source !== "function") {
    let keys = preparedKeys(source, format);
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
      listOf(secrets, format.secretVariable).map((secret) => {
        const known = cache.get(secret);
        if (known !== undefined) return known;
        const key = keyFor(secret, format);
        cache.set(secret, key);
        return key;
      }),
    );
  return (delivery) => andThen(ask(source, delivery), prepare);
}

/** Prepares the keys of these secrets. @throws InvalidSecretError as `keysFrom` does. */
export function preparedKeys(
  secrets: Secrets | undefined,
  format: KeyFormat,
): MaybePromise<readonly HmacKey[]> {
  return all(listOf(secrets, format.secretVariable).map((secret) => keyFor(secret, format)));
}

/** Prepares the key of a secret. @throws InvalidSecretError for a secret that holds no key of the provider. */
export function keyFor(secret: string, { hmac }: KeyFormat): MaybePromise<HmacKey> & object {
  const { algorithm = "sha256", keyOf, secretIs = "another text" } = hmac ?? {};
  const bytes = keyOf ? keyOf(secret) : secret;
  if (bytes === undefined || bytes.length === 0) {
    throw new InvalidSecretError(
      `A secret of this provider is ${secretIs}. Copy the whole secret from the provider's settings.`,
    );
  }
  return prepareKey(bytes, algorithm);
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
  return listOf(typeof source === "function" ? await ask(source, delivery) : source);
}

/** Calls a secret function, and waits for its promise within the time limit. */
function ask(
  source: Extract<SecretSource, (...args: never) => unknown>,
  delivery: Delivery,
): MaybePromise<Secrets | undefined> {
  const secrets = source(delivery);
  if (!isThenable(secrets)) return secrets;
  return withDeadline(SECRET_TIMEOUT_MS, secrets, () => {
    throw new SecretTimeoutError(SECRET_TIMEOUT_MS / 1000);
  });
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
  if (list.length > SECRETS_MAX) {
    throw new InvalidSecretError(
      `The list has ${list.length} secrets, and each is tried for each delivery. Pass at most ${SECRETS_MAX}, or a function that picks the secret.`,
    );
  }
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
