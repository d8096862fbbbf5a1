import { createHmac, randomUUID } from "node:crypto";
import { checkSigning, type Sender, type SignedDelivery } from "../sender.js";
import { type TolokaEvents, type TolokaEventType, toloka } from "./index.js";

const COMMON = { project_id: "project-1", pool_id: "pool-1" };
const SUBSCRIBED = { ...COMMON, webhook_subscription_id: "subscription-1" };
const ASSIGNMENT = { ...SUBSCRIBED, task_suite_id: "task-suite-1", assignment_id: "assignment-1" };

/** Sample values of the documented fields. Source: Toloka's documentation of webhook notifications. */
const SAMPLES: {
  readonly [Type in TolokaEventType]: Omit<TolokaEvents[Type], "uuid" | "event_time">;
} = {
  POOL_CLOSED: { ...SUBSCRIBED, close_reason: "MANUAL" },
  ASSIGNMENT_CREATED: ASSIGNMENT,
  ASSIGNMENT_SUBMITTED: ASSIGNMENT,
  ASSIGNMENT_SKIPPED: ASSIGNMENT,
  ASSIGNMENT_EXPIRED: ASSIGNMENT,
  ASSIGNMENT_APPROVED: ASSIGNMENT,
  ASSIGNMENT_REJECTED: ASSIGNMENT,
  DYNAMIC_OVERLAP_COMPLETED: {
    ...SUBSCRIBED,
    task_id: "task-1",
    confidence: 0.155,
    assignment_ids: ["assignment-1", "assignment-2"],
    output_values: { field_one: "value-1" },
  },
  TEST_EVENT: COMMON,
};

/**
 * Returns a valid event of a type, as Toloka writes it, with a new `uuid`.
 *
 * @param fields Replace fields of the sample or add fields.
 */
export function tolokaEvent<Type extends TolokaEventType>(
  type: Type,
  fields: Readonly<Record<string, unknown>> = {},
): TolokaEvents[Type] & { type: Type } {
  const sample: object = SAMPLES[type];
  return {
    uuid: randomUUID(),
    event_time: new Date().toISOString().slice(0, 19),
    ...sample,
    type,
    ...fields,
  } as unknown as TolokaEvents[Type] & { type: Type };
}

/** The contents of a delivery of Toloka, and the secret that signs it. */
export interface SignTolokaOptions {
  readonly secret: string;
  /** The event objects in the envelope. They are not validated, so a test can send invalid ones. */
  readonly events?: readonly object[];
  /** Replaces the whole envelope. */
  readonly body?: string;
  /** When the delivery is signed: Unix time in milliseconds. Default: now. */
  readonly timestamp?: number;
}

/** Returns a delivery as Toloka would send it. */
export function signToloka(options: SignTolokaOptions): SignedDelivery {
  checkSigning("signToloka", options, ["secret", "events", "body", "timestamp"]);
  const { secret, events = [], body = JSON.stringify({ events }), timestamp = Date.now() } = options;
  const time = String(timestamp);
  const digest = tolokaSender.computeDigest(secret, { time, version: "1", id: "" }, body);
  return {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "toloka-signature": signatureHeader({ time, version: "1", digest }),
    },
    body,
  };
}

const signatureHeader = ({ time, version, digest }: { time: string; version: string; digest: string }) =>
  `{v=${version}, ts=${time}, sign=${digest}}`;

export const tolokaSender: Sender<TolokaEvents> = {
  provider: toloka,
  defaultType: "ASSIGNMENT_SUBMITTED",
  typeField: "type",
  testTypes: ["TEST_EVENT"],
  digestEncoding: "hex",
  dropsLeadingZeros: true,
  sample(type, fields = {}) {
    const documented: object = SAMPLES[type as TolokaEventType] ?? {};
    const id = randomUUID();
    const own = "assignment_id" in documented ? { assignment_id: `assignment-${id}` } : {};
    return { id, content: { ...tolokaEvent(type as TolokaEventType, { uuid: id, ...own, ...fields }) } };
  },
  formatTime: String,
  composeBody: (events) => JSON.stringify({ events: events.map(({ content }) => content) }),
  computeDigest: (secret, { time, version }, body) =>
    createHmac("sha256", secret).update(`${time}.${version}.`).update(body).digest("hex"),
  signatureHeaders: (signature) => [["Toloka-Signature", signatureHeader(signature)]],
  eventHeaders: () => [],
};
