import { verify } from "#hmac";
import { parseJson } from "./body.js";
import type { DeliveryHeaders } from "./delivery.js";
import { ERRORS, type ErrorCode } from "./errors.js";
import type { EventMap, ReceivedEvent } from "./event.js";
import type { Provider } from "./provider.js";
import { explainMismatch, rewritten, untimely } from "./signature/explain.js";
import { preparedKeys } from "./signature/secrets.js";

/** What a receiver would make of a delivery, before it claims its events: for tools, and for whoever looks for a mistake. */
export interface Inspection<Events extends EventMap = EventMap> {
  /** What it would be refused with; `undefined` if it would be handled. */
  readonly code: ErrorCode | undefined;
  /** Why, in a sentence for the operator, with the likely mistake where one was found. */
  readonly reason: string | undefined;
  /** Which of the secrets it was signed with, counted from 0. */
  readonly secret: number | undefined;
  /** How many seconds ago it was signed by the clock; negative if in the future. */
  readonly age: number | undefined;
  /** Empty if it cannot be read. They are read even if the signature is missing or does not fit. */
  readonly events: readonly ReceivedEvent<Events>[];
}

export interface InspectOptions {
  /** None for a subscription without a secret: then no signature is asked for. */
  readonly secrets: readonly string[];
  /** In seconds. Default 300. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. Default: now. */
  readonly now?: number;
}

/**
 * @throws TypeError for a secret that cannot be one.
 */
export async function inspect<Events extends EventMap>(
  provider: Provider<Events>,
  { headers, body }: { readonly headers: DeliveryHeaders; readonly body: Uint8Array },
  { secrets, tolerance = 300, now = Date.now() }: InspectOptions,
): Promise<Inspection<Events>> {
  const { code: unreadable, events } = read(provider, headers, body);
  const found = { secret: undefined, age: undefined, events };
  const refused = (code: ErrorCode, reason: string = ERRORS[code].message, more = {}) => ({
    ...found,
    ...more,
    code,
    reason,
  });
  if (secrets.length > 0) {
    const signature = provider.parseSignature(headers);
    if (typeof signature === "string") return refused(signature);
    const age = (now - signature.timestamp) / 1000;
    const keys = await preparedKeys(secrets);
    let secret = -1;
    for (const [index, key] of keys.entries()) {
      if (secret < 0 && (await verify([key], signature.prefix, body, signature.digest))) secret = index;
    }
    if (secret < 0) {
      const cause = await explainMismatch(secrets, signature, body).catch(() => undefined);
      return refused("SIGNATURE_MISMATCH", cause, { age });
    }
    if (!(Math.abs(age) <= tolerance)) {
      return refused("TIMESTAMP_OUT_OF_TOLERANCE", untimely(age, tolerance, now), { secret, age });
    }
    if (unreadable) return refused(unreadable, undefined, { secret, age });
    return { ...found, code: undefined, reason: undefined, secret, age };
  }
  return unreadable ? refused(unreadable) : { ...found, code: undefined, reason: undefined };
}

function read<Events extends EventMap>(
  provider: Provider<Events>,
  headers: DeliveryHeaders,
  body: Uint8Array,
): { code?: ErrorCode; events: readonly ReceivedEvent<Events>[] } {
  const json = parseJson(body);
  if (json === undefined) return { code: "BODY_NOT_JSON", events: [] };
  const events = provider.parseEvents(json.value, headers);
  return events ? { events } : { code: "ENVELOPE_INVALID", events: [] };
}

export { rewritten };
