import { verify } from "#hmac";
import { parseJson } from "../body.js";
import type { DeliveryHeaders } from "../delivery.js";
import { ERRORS, type ErrorCode } from "../errors.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { Provider, SignatureParts } from "../provider.js";
import { explainMismatch, explainTime } from "./explain.js";
import { preparedKeys } from "./secrets.js";

/** How a receiver would judge a delivery before it claims the events. */
export interface Inspection<Events extends EventMap = EventMap> {
  /** The code of the refusal; `undefined` if the delivery would be handled. */
  readonly code: ErrorCode | undefined;
  /** Why, in a sentence for the operator, with the likely mistake where one was found. */
  readonly reason: string | undefined;
  /** The position of the secret that fits, counted from 0. */
  readonly secret: number | undefined;
  /** How many seconds ago the delivery was signed; negative if in the future. */
  readonly age: number | undefined;
  /** Read even if the signature is missing or does not fit. Empty if the body cannot be read. */
  readonly events: readonly ReceivedEvent<Events>[];
}

export interface InspectOptions {
  /** An empty list for a subscription without a secret: no signature is asked for then. */
  readonly secrets: readonly string[];
  /** In seconds. Default 300. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. Default: now. */
  readonly now?: number;
}

/**
 * Checks a delivery as a receiver would, for tools and for finding a mistake. Claims and handles nothing.
 *
 * @throws TypeError for a secret that is empty, not a string, or has white space around it.
 */
export async function inspect<Events extends EventMap>(
  provider: Provider<Events>,
  { headers, body }: { readonly headers: DeliveryHeaders; readonly body: Uint8Array },
  { secrets, tolerance = 300, now = Date.now() }: InspectOptions,
): Promise<Inspection<Events>> {
  const { code: unreadable, events } = parseBody(provider, headers, body);
  const inspection = (code?: ErrorCode, reason?: string, secret?: number, age?: number) => {
    return { code, reason: reason ?? (code && ERRORS[code].message), secret, age, events };
  };
  if (secrets.length === 0) return inspection(unreadable);
  const signature = provider.parseSignature(headers);
  if (typeof signature === "string") return inspection(signature);
  const age = (now - signature.timestamp) / 1000;
  const secret = await findSecret(secrets, signature, body);
  if (secret === undefined) {
    const suspect = { secrets, headers, body };
    const cause = await explainMismatch(provider.signatureFormat, signature, suspect).catch(() => undefined);
    return inspection("SIGNATURE_MISMATCH", cause, undefined, age);
  }
  // Negated, so that a time that is not a number is out of tolerance, too.
  if (!(Math.abs(age) <= tolerance)) {
    return inspection("TIMESTAMP_OUT_OF_TOLERANCE", explainTime(age, tolerance, now), secret, age);
  }
  return inspection(unreadable, undefined, secret, age);
}

async function findSecret(
  secrets: readonly string[],
  { prefix, digest }: SignatureParts,
  body: Uint8Array,
): Promise<number | undefined> {
  for (const [index, key] of (await preparedKeys(secrets)).entries()) {
    if (await verify([key], prefix, body, digest)) return index;
  }
  return undefined;
}

function parseBody<Events extends EventMap>(
  provider: Provider<Events>,
  headers: DeliveryHeaders,
  body: Uint8Array,
): { code?: ErrorCode; events: readonly ReceivedEvent<Events>[] } {
  const json = parseJson(body);
  if (json === undefined) return { code: "BODY_NOT_JSON", events: [] };
  const events = provider.parseEvents(json.value, headers);
  return events ? { events } : { code: "ENVELOPE_INVALID", events: [] };
}
