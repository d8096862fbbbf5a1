import { verify } from "#hmac";
import type { DeliveryHeaders } from "../delivery.js";
import { ERRORS, type ErrorCode } from "../errors.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { Provider } from "../provider.js";
import { readEvents } from "../providers/read-events.js";
import type { SignatureParts } from "../providers/signature-format.js";
import type { Refusal } from "../reply.js";
import { type Difference, differencesBetween } from "../text/differences.js";
import { createPace } from "../values/pace.js";
import { type Explanation, explainHeaders, explainMismatch, explainTime } from "./explain.js";
import { InvalidSecretError, type KeyFormat, keyFor, preparedKeys } from "./secrets.js";

/** The result of verifying and parsing a delivery as a receiver would, before it claims the events. */
export interface Inspection<Events extends EventMap = EventMap> {
  /** The code with which a receiver would refuse the delivery; `undefined` if it would handle the delivery. */
  readonly code: ErrorCode | undefined;
  /** The reason for the refusal, for the operator. Names the likely mistake if the search found one. */
  readonly reason: string | undefined;
  /** The index of the secret that the signature fits; `undefined` if it fits none. */
  readonly secret: number | undefined;
  /** Seconds since the signing; negative if it is in the future. `undefined` if no signature was read, or if it has no time. */
  readonly age: number | undefined;
  /** The mistake behind a `SIGNATURE_MISMATCH`; `undefined` if the search found none. */
  readonly mismatch: Mismatch | undefined;
  /** The events in the body, even if the signature is missing or does not fit. Empty if the body is unreadable. */
  readonly events: readonly ReceivedEvent<Events>[];
}

/** The usual mistake that explains why a signature does not fit, and where the body differs. */
export interface Mismatch extends Explanation {
  /** Empty if the body is as it was signed. */
  readonly differences: readonly Difference[];
}

/** The secrets and the clock that `inspect` checks a delivery against. */
export interface InspectOptions {
  /** Empty for a subscription without a secret: then `inspect` ignores the signature. */
  readonly secrets: readonly string[];
  /** The secrets of other providers, to find out whether one of them signed the delivery. */
  readonly otherSecrets?: readonly string[];
  /** In seconds. Default 300. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. Default: now. */
  readonly now?: number;
  /** The largest accepted number of events. Default 10,000. */
  readonly maxEvents?: number;
}

/**
 * Verifies and parses a delivery as a receiver would, for tools that look for a mistake. Does not check
 * the method, the encoding and the size. Claims and handles nothing.
 *
 * @throws TypeError for a secret that is empty, not a string, or has white space around it. A delivery
 * without a readable signature is refused before the secrets are checked.
 */
export async function inspect<Events extends EventMap>(
  provider: Provider<Events>,
  { headers, body }: { readonly headers: DeliveryHeaders; readonly body: Uint8Array },
  { secrets, otherSecrets = [], tolerance = 300, now = Date.now(), maxEvents }: InspectOptions,
): Promise<Inspection<Events>> {
  const read = readEvents(provider, { headers, body }, now, maxEvents);
  const unreadable: Partial<Refusal> = "code" in read ? read : {};
  const events = "code" in read ? [] : read;
  const inspection = (
    code?: ErrorCode,
    reason?: string,
    secret?: number,
    age?: number,
    mismatch?: Mismatch,
  ) => {
    return { code, reason: reason ?? (code && ERRORS[code].message), secret, age, mismatch, events };
  };
  if (secrets.length === 0) return inspection(unreadable.code, unreadable.reason);
  const signature = provider.parseSignature(headers);
  if (typeof signature === "string")
    return inspection(signature, explainHeaders(provider as Provider, headers));
  const age = signature.timestamp === undefined ? undefined : (now - signature.timestamp) / 1000;
  const secret = await findSecret(provider, secrets, signature, body);
  if (secret === undefined) {
    const suspect = { secrets, otherSecrets, headers, body };
    const cause = await explainMismatch(provider, signature, suspect).catch(() => undefined);
    const mismatch = cause && { ...cause, differences: differencesBetween(body, cause.body) };
    return inspection("SIGNATURE_MISMATCH", cause?.reason, undefined, age, mismatch);
  }
  // The negation also refuses an age that is NaN.
  if (age !== undefined && !(Math.abs(age) <= tolerance)) {
    return inspection("TIMESTAMP_OUT_OF_TOLERANCE", explainTime(age, tolerance, now), secret, age);
  }
  return inspection(unreadable.code, unreadable.reason, secret, age);
}

/**
 * Returns whether a signature fits a secret, whatever its time is. Unlike `inspect`, takes a secret with
 * white space around it.
 */
export async function fitsSecret(
  provider: KeyFormat,
  secret: string,
  signature: SignatureParts,
  body: Uint8Array,
): Promise<boolean> {
  try {
    return await verify([await keyFor(secret, provider)], signature, body);
  } catch (error) {
    if (error instanceof InvalidSecretError) return false;
    throw error;
  }
}

async function findSecret(
  provider: KeyFormat,
  secrets: readonly string[],
  signature: SignatureParts,
  body: Uint8Array,
): Promise<number | undefined> {
  const pace = createPace();
  for (const [index, key] of (await preparedKeys(secrets, provider)).entries()) {
    await pace(body.length);
    if (await verify([key], signature, body)) return index;
  }
  return undefined;
}
