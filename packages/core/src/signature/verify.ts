import { type HmacKey, verify as verifyHmac } from "#hmac";
import type { Delivery } from "../delivery.js";
import { kindOf } from "../errors.js";
import type { Log } from "../observing/log.js";
import type { ReceiverOptions } from "../options.js";
import type { Provider } from "../provider.js";
import type { SignatureParts } from "../providers/signature-format.js";
import type { Refusal } from "../reply.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { explainHeaders, explainMismatch, explainTime } from "./explain.js";
import { InvalidSecretError, keysFrom, SecretTimeoutError, secretsFrom } from "./secrets.js";

const MISMATCH =
  "a signature fits no secret: the delivery is forged, or its subscription has another secret. Compare the secrets.";

/** A longer list is probably one of tenants. Rotation needs two secrets, and an app has few subscriptions. */
const SECRETS_USUAL = 10;

/**
 * Verifies a delivery's signature and time. Returns the signature's digest or the refusal. A receiver of
 * unsigned deliveries verifies nothing and returns `undefined`.
 */
export type Verify = (delivery: Delivery) => MaybePromise<string | undefined | Refusal>;

/** @throws TypeError for a secret that is missing, empty, not a string, or has white space around it. */
export function createVerifier(
  provider: Provider,
  { secret, unsigned, tolerance = 300, clock = Date.now }: ReceiverOptions,
  log: Log,
): Verify {
  if (unsigned) return () => undefined;
  const keysOf = keysFrom(secret, provider);
  if (typeof secret === "object" && secret.length > SECRETS_USUAL) {
    log(
      "secret",
      `the list has ${secret.length} secrets. Every secret is tried for each delivery, and the owner of one secret can claim event ids of the others. Use one receiver per tenant, or a secret function that picks the secret.`,
    );
  }

  return function verify(delivery) {
    const signature = provider.parseSignature(delivery.headers);
    if (typeof signature === "string") return unsignedDelivery(signature, delivery);
    let keys: ReturnType<typeof keysOf>;
    try {
      keys = keysOf(delivery);
    } catch (error) {
      return secretUnavailable(error);
    }
    if (!isThenable(keys)) return verifySignature(keys, signature, delivery);
    return Promise.resolve(keys).then(
      (keys) => verifySignature(keys, signature, delivery),
      secretUnavailable,
    );
  };

  function unsignedDelivery(
    code: "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED",
    { headers }: Delivery,
  ): Refusal {
    if (!log.isDue(code)) return { code };
    const reason = explainHeaders(provider, headers);
    log.print(code, reason);
    return { code, reason };
  }

  function verifySignature(keys: readonly HmacKey[], signature: SignatureParts, delivery: Delivery) {
    const matches = verifyHmac(keys, signature, delivery.body);
    return andThen(matches, (matches) => (matches ? checkTime(signature) : mismatch(signature, delivery)));
  }

  function checkTime({ digest: digests, timestamp }: SignatureParts): string | Refusal {
    // A provider whose header has several signatures signs its event ids, so none of them is claimed.
    const digest = typeof digests === "string" ? digests : (digests[0] ?? "");
    if (timestamp === undefined) return digest;
    const now = clock();
    // If the clock returns NaN, this comparison is false, too.
    if (Math.abs(now - timestamp) <= tolerance * 1000) return digest;
    const reason = explainTime((now - timestamp) / 1000, tolerance, now);
    log("TIMESTAMP_OUT_OF_TOLERANCE", reason);
    return { code: "TIMESTAMP_OUT_OF_TOLERANCE", reason };
  }

  /** Searches for the mistake only when a log line is due, so that forged deliveries cost little time. */
  async function mismatch(signature: SignatureParts, delivery: Delivery): Promise<Refusal> {
    if (!log.isDue("SIGNATURE_MISMATCH")) return { code: "SIGNATURE_MISMATCH", reason: MISMATCH };
    let reason = MISMATCH;
    try {
      const suspect = { ...delivery, secrets: await secretsFrom(secret, delivery) };
      reason = (await explainMismatch(provider, signature, suspect))?.reason ?? MISMATCH;
    } catch {
      // The secret function can fail the second time. The reply stays 401.
    }
    log.print("SIGNATURE_MISMATCH", reason);
    return { code: "SIGNATURE_MISMATCH", reason };
  }

  function secretUnavailable(error: unknown): Refusal {
    const failure = error instanceof SecretTimeoutError ? error.message : `failed (${kindOf(error)})`;
    const reason =
      error instanceof InvalidSecretError
        ? `the secret cannot be used. ${error.message}`
        : `the secret function ${failure}. Check the function and the store that it reads.`;
    log("SECRET_UNAVAILABLE", reason);
    return { code: "SECRET_UNAVAILABLE", reason };
  }
}
