import { createHmac, randomUUID } from "node:crypto";
import { toAscii, toPythonJson } from "../../signature/json-spellings.js";
import { checkSigning, type Sender, type SignedDelivery } from "../sender.js";
import { type ProlificEvents, type ProlificEventType, prolific } from "./index.js";

/** Sample values of the documented fields. Source: Prolific's API reference, "Webhooks". */
const SAMPLES: { readonly [Type in ProlificEventType]: Omit<ProlificEvents[Type], "event_type"> } = {
  "submission.status.change": {
    resource_id: "submission-1",
    participant_id: "participant-1",
    status: "AWAITING REVIEW",
  },
  "study.status.change": { resource_id: "study-1", metadata: {}, status: "ACTIVE" },
  "study.progress.change": { resource_id: "study-1" },
  "study.has_high_return_rate": { resource_id: "study-1", metadata: { return_rate: 0.5 } },
};

/**
 * Returns a valid event of a type, as Prolific writes it.
 *
 * @param fields Replace fields of the sample or add fields.
 */
export function prolificEvent<Type extends ProlificEventType>(
  type: Type,
  fields: Readonly<Record<string, unknown>> = {},
): ProlificEvents[Type] {
  const sample: object = SAMPLES[type];
  return { ...sample, event_type: type, ...fields } as unknown as ProlificEvents[Type];
}

/** The contents of a delivery of Prolific, and the secret that signs it. */
export interface SignProlificOptions {
  readonly secret: string;
  /** The event object. It is not validated, so a test can send an invalid one. */
  readonly event?: object;
  /** Replaces `event`. */
  readonly body?: string;
  /** The header `X-Event-ID`. Default: a new id. */
  readonly id?: string;
  /** When the event occurred, `X-Timestamp`: Unix time in milliseconds. Default: `timestamp`. */
  readonly occurredAt?: number;
  /** When the delivery is signed: Unix time in milliseconds, rounded down to seconds. Default: now. */
  readonly timestamp?: number;
}

/** Returns a delivery as Prolific would send it. */
export function signProlific(options: SignProlificOptions): SignedDelivery {
  checkSigning("signProlific", options, ["secret", "event", "body", "id", "occurredAt", "timestamp"]);
  const {
    secret,
    event = {},
    body = JSON.stringify(event),
    id = randomUUID(),
    timestamp = Date.now(),
    occurredAt = timestamp,
  } = options;
  const time = prolificSender.formatTime(timestamp);
  return {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-event-id": id,
      "x-timestamp": prolificSender.formatTime(occurredAt),
      "x-prolific-request-timestamp": time,
      "x-prolific-request-signature": prolificSender.computeDigest(secret, { time, version: "", id }, body),
    },
    body,
  };
}

export const prolificSender: Sender<ProlificEvents> = {
  provider: prolific,
  defaultType: "submission.status.change",
  typeField: "event_type",
  testTypes: [],
  digestEncoding: "base64",
  dropsLeadingZeros: false,
  sample(type, fields = {}) {
    const id = randomUUID();
    // Two events with the same body and second would have the same signature, so each gets a new resource.
    const own = { resource_id: `resource-${id}` };
    return { id, content: { ...prolificEvent(type as ProlificEventType, { ...own, ...fields }) } };
  },
  formatTime: (milliseconds) => String(Math.floor(milliseconds / 1000)),
  // Python's json.dumps wrote the examples of Prolific's documentation.
  composeBody: ([event]) => toAscii(toPythonJson(event?.content)),
  computeDigest: (secret, { time }, body) =>
    createHmac("sha256", secret).update(time).update(body).digest("base64"),
  signatureHeaders: ({ time, digest }) => [
    ["X-Prolific-Request-Signature", digest],
    ["X-Prolific-Request-Timestamp", time],
  ],
  eventHeaders: ({ id }, time) => [
    ["X-Event-ID", id],
    ["X-Timestamp", prolificSender.formatTime(time)],
  ],
};
