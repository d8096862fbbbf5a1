import { type HmacKey, verify as verifyHmac } from "#hmac";
import type { Delivery } from "../delivery.js";
import { kindOf } from "../errors.js";
import { andThen, isThenable, type MaybePromise } from "../maybe-promise.js";
import type { Log } from "../observing/log.js";
import type { ReceiverOptions } from "../options.js";
import type { Provider, SignatureParts } from "../provider.js";
import type { Refusal } from "../reply.js";
import { explainMismatch, untimely } from "./explain.js";
import { keysFrom, secretsFrom } from "./secrets.js";

const MISMATCH = "a delivery fits no secret: it is forged, or its subscription has another secret.";

/** Checks a delivery's signature and time. Gives the signature's digest, or why the delivery is refused. */
export type Verify = (delivery: Delivery) => MaybePromise<string | undefined | Refusal>;

/** @throws TypeError for a secret that cannot be one. */
export function createVerifier(
  { parseSignature }: Pick<Provider, "parseSignature">,
  { secret, unsigned, tolerance = 300, clock = Date.now }: ReceiverOptions,
  log: Log,
): Verify {
  if (unsigned) return () => undefined;
  const keysOf = keysFrom(secret);

  return function verify(delivery) {
    const signature = parseSignature(delivery.headers);
    if (typeof signature === "string") return { code: signature };
    let keys: ReturnType<typeof keysOf>;
    try {
      keys = keysOf(delivery);
    } catch (error) {
      return secretUnavailable(error);
    }
    if (!isThenable(keys)) return checkSignature(keys, signature, delivery);
    return Promise.resolve(keys).then((keys) => checkSignature(keys, signature, delivery), secretUnavailable);
  };

  function checkSignature(keys: readonly HmacKey[], signature: SignatureParts, delivery: Delivery) {
    const matches = verifyHmac(keys, signature.prefix, delivery.body, signature.digest);
    return andThen(matches, (matches) => (matches ? checkTime(signature) : mismatch(signature, delivery)));
  }

  function checkTime({ digest, timestamp }: SignatureParts): string | Refusal {
    const now = clock();
    // Written so that a clock or a timestamp that is not a number is out of tolerance, too.
    if (Math.abs(now - timestamp) <= tolerance * 1000) return digest;
    const reason = untimely((now - timestamp) / 1000, tolerance, now);
    log("TIMESTAMP_OUT_OF_TOLERANCE", reason);
    return { code: "TIMESTAMP_OUT_OF_TOLERANCE", reason };
  }

  /** Looks for the cause only when a line is due in the log: a forgery must stay cheap to refuse. */
  async function mismatch(signature: SignatureParts, delivery: Delivery): Promise<Refusal> {
    if (!log.isDue("SIGNATURE_MISMATCH")) return { code: "SIGNATURE_MISMATCH", reason: MISMATCH };
    let reason: string | undefined;
    try {
      reason = await explainMismatch(await secretsFrom(secret, delivery), signature, delivery.body);
    } catch {
      // The secret function can fail, and a body can be nested too deep to be serialized again.
    }
    log.print("SIGNATURE_MISMATCH", reason ?? MISMATCH);
    return { code: "SIGNATURE_MISMATCH", reason: reason ?? MISMATCH };
  }

  function secretUnavailable(error: unknown): Refusal {
    const reason = `the secret function failed, or gave what cannot be a secret (${kindOf(error)}).`;
    log("SECRET_UNAVAILABLE", reason);
    return { code: "SECRET_UNAVAILABLE", reason };
  }
}
