import { createHmac, randomUUID } from "node:crypto";

export type ProviderName = "toloka" | "prolific";

/** Name and value as they are sent, in their order. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** What a signature header says. */
export interface Signature {
  /** In the provider's unit. */
  readonly time: string;
  /** Toloka's alone. */
  readonly version: string;
  /** As the provider writes it: hex or base64. */
  readonly digest: string;
}

/** An event that an endpoint is sent. */
export interface SentEvent {
  readonly id: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** How a provider writes and signs deliveries: of our own, so that it can be held against an endpoint's. */
export interface Provider {
  readonly name: ProviderName;
  readonly title: string;
  /** The event type that is sent unless a check is about types, and that a report route has to list. */
  readonly mainType: string;
  readonly types: readonly string[];
  /** The field of an event that has its type. */
  readonly typeField: "type" | "event_type";
  /** An event with an id of its own and all documented fields; `fields` replace or add to them. */
  event(fields?: Readonly<Record<string, unknown>>): SentEvent;
  /** Unix time in milliseconds, as the provider sends it. */
  time(milliseconds: number): string;
  /** The body of a delivery, with the white space that the provider's serializer writes. */
  compose(events: readonly SentEvent[]): string;
  sign(secret: string, signed: Pick<Signature, "time" | "version">, body: Uint8Array): string;
  /** Which digests are written in one way only. */
  readonly plainDigest: RegExp;
  /** All ways in which a digest may be written, by the provider or by others. */
  spellings(digest: string): readonly string[];
  write(signature: Signature): HeaderLines;
  /** What a delivery has beside its signature. */
  headers(event: SentEvent, time: number): HeaderLines;
}

const SUBSCRIBED = {
  project_id: "project-1",
  pool_id: "pool-1",
  webhook_subscription_id: "subscription-1",
};
const ASSIGNMENT = { ...SUBSCRIBED, task_suite_id: "task-suite-1", assignment_id: "assignment-1" };

/** The documented fields of each type. Source: Toloka's documentation of webhook notifications. */
const TOLOKA_TYPES: Readonly<Record<string, object>> = {
  ASSIGNMENT_SUBMITTED: ASSIGNMENT,
  ASSIGNMENT_CREATED: ASSIGNMENT,
  ASSIGNMENT_SKIPPED: ASSIGNMENT,
  ASSIGNMENT_EXPIRED: ASSIGNMENT,
  ASSIGNMENT_APPROVED: ASSIGNMENT,
  ASSIGNMENT_REJECTED: ASSIGNMENT,
  POOL_CLOSED: { ...SUBSCRIBED, close_reason: "MANUAL" },
  DYNAMIC_OVERLAP_COMPLETED: {
    ...SUBSCRIBED,
    task_id: "task-1",
    confidence: 0.155,
    assignment_ids: ["assignment-1", "assignment-2"],
    output_values: { field_one: "value-1" },
  },
  TEST_EVENT: { project_id: "project-1", pool_id: "pool-1" },
};

const toloka: Provider = {
  name: "toloka",
  title: "Toloka",
  mainType: "ASSIGNMENT_SUBMITTED",
  types: Object.keys(TOLOKA_TYPES),
  typeField: "type",
  event({ type = "ASSIGNMENT_SUBMITTED", ...fields } = {}) {
    const id = randomUUID();
    const event_time = new Date().toISOString().slice(0, 19);
    const documented: object = TOLOKA_TYPES[String(type)] ?? {};
    // Each about another assignment, as they are.
    const own = "assignment_id" in documented ? { assignment_id: `assignment-${id}` } : {};
    return { id, content: { uuid: id, event_time, ...documented, ...own, type, ...fields } };
  },
  time: String,
  compose: (events) => JSON.stringify({ events: events.map(({ content }) => content) }),
  sign: (secret, { time, version }, body) =>
    createHmac("sha256", secret).update(`${time}.${version}.`).update(body).digest("hex"),
  // Its signer writes the digest as a number, without zeros in front.
  plainDigest: /^[^0]/,
  spellings: (digest) => spellings(Buffer.from(digest, "hex")),
  write: ({ time, version, digest }) => [["Toloka-Signature", `{v=${version}, ts=${time}, sign=${digest}}`]],
  headers: () => [],
};

/** Source: Prolific's API reference, "Webhooks". */
const PROLIFIC_TYPES: Readonly<Record<string, object>> = {
  "submission.status.change": { participant_id: "participant-1", status: "AWAITING REVIEW" },
  "study.status.change": { metadata: {}, status: "ACTIVE" },
  "study.progress.change": {},
  "study.has_high_return_rate": { metadata: { return_rate: 0.5 } },
};

const prolific: Provider = {
  name: "prolific",
  title: "Prolific",
  mainType: "submission.status.change",
  types: Object.keys(PROLIFIC_TYPES),
  typeField: "event_type",
  event({ event_type = "submission.status.change", ...fields } = {}) {
    const id = randomUUID();
    // Of its own, too: two events with one body and one time would have one signature.
    const resource_id = `resource-${id}`;
    return { id, content: { resource_id, event_type, ...PROLIFIC_TYPES[String(event_type)], ...fields } };
  },
  time: (milliseconds) => String(Math.floor(milliseconds / 1000)),
  // Python's json.dumps writes it so, and Prolific's own examples are made with that.
  compose: ([event]) => spaced(event?.content),
  sign: (secret, { time }, body) => createHmac("sha256", secret).update(time).update(body).digest("base64"),
  plainDigest: /^/,
  spellings: (digest) => spellings(Buffer.from(digest, "base64")),
  write: ({ time, digest }) => [
    ["X-Prolific-Request-Signature", digest],
    ["X-Prolific-Request-Timestamp", time],
  ],
  headers: ({ id }, time) => [
    ["X-Event-ID", id],
    ["X-Timestamp", prolific.time(time)],
  ],
};

export const PROVIDERS: Readonly<Record<ProviderName, Provider>> = { toloka, prolific };

function spellings(digest: Buffer): readonly string[] {
  const hex = digest.toString("hex").replace(/^0+/, "");
  return [hex, hex.toUpperCase(), digest.toString("base64"), digest.toString("base64url")];
}

/** JSON on one line, with a blank after each comma and colon, and nothing but ASCII. */
function spaced(value: unknown): string {
  const indented = JSON.stringify(value, undefined, 1);
  // A line break is never inside of a string, where JSON writes it as an escape.
  const inLine = indented
    .replace(/([[{])\n\s*/g, "$1")
    .replace(/\n\s*([\]}])/g, "$1")
    .replace(/\n\s*/g, " ");
  return ascii(inLine);
}

/** The same JSON with all that is not ASCII as escapes. */
export function ascii(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
