import { randomUUID } from "node:crypto";
import type { HeaderLines, Sender, SentEvent, SignatureValues } from "@crowdhook/core/testing";
import { identifiesBySignature, isClaimedBySignature } from "./capabilities.js";
import type { Outgoing } from "./exchange.js";
import { CheckSkipped } from "./outcome.js";

/** The ways in which a delivery differs from a good one. */
export interface Draft {
  /** Default: one new event of the provider's default type. */
  readonly events?: readonly SentEvent[];
  /** The body. Default: the provider's serialization of `events`. */
  readonly body?: string | Uint8Array;
  /** The signature is over these bytes. Default: the body. */
  readonly signedBody?: string | Uint8Array;
  /** Default: the first secret. */
  readonly secret?: string;
  /** When the delivery is signed, in milliseconds from now. Default 0. */
  readonly timeOffset?: number;
  /** Replaces the provider's text for the time of signing. */
  readonly time?: string;
  readonly version?: string;
  /** The digest must match. Default: it has no leading zero that the provider would drop. */
  readonly digestPattern?: RegExp;
  /** Replaces parts of the signature after signing. */
  readonly alterSignature?: (signature: SignatureValues) => Partial<SignatureValues>;
  /** Writes the signature headers. Default: as the provider does. */
  readonly signatureHeaders?: (signature: SignatureValues) => HeaderLines;
  /** Replaces headers of the same names, and adds the others. */
  readonly headers?: HeaderLines;
  readonly method?: string;
  readonly path?: string;
  readonly chunked?: boolean;
  readonly pieces?: number;
  readonly pause?: number;
}

export interface AuditDelivery extends Outgoing {
  /**
   * The ids of those events that the report route must list. If the signature is the id, it is the sent
   * digest in lower-case hex.
   */
  readonly ids: readonly string[];
  /** Every spelling of the valid signatures of this body, unless the delivery itself holds it. */
  readonly withheldDigests: readonly string[];
}

interface Signing {
  readonly sender: Sender;
  readonly secrets: readonly [string, ...string[]];
}

const DEFAULT_HEADERS: HeaderLines = [
  ["Content-Type", "application/json"],
  ["User-Agent", "crowdhook-audit"],
];

/** Each attempt signs one millisecond earlier, so the time of signing moves back a few seconds at most. */
const MAX_SIGNING_ATTEMPTS = 5_000;
/** Signing larger bodies again, to find their valid digests, would take too long. */
const MAX_BODY_SIGNED_TWICE = 100_000;
const ANY_DIGEST = /^/;
const NO_LEADING_ZERO = /^[^0]/;

/** The field that makes a body unique if the provider's samples are all the same. */
const UNIQUE_FIELD = "crowdhook_audit";

/** Returns a new event. Its body differs from all others if the endpoint tells events apart by their signatures. */
export function newEvent(
  sender: Sender,
  type = sender.defaultType,
  fields: Readonly<Record<string, unknown>> = {},
): SentEvent {
  const event = sender.sample(type, fields);
  const isRepeated = () => sender.composeBody([event]) === sender.composeBody([sender.sample(type, fields)]);
  if (!isClaimedBySignature(sender) || !isRepeated()) return event;
  return { ...event, content: { ...event.content, [UNIQUE_FIELD]: event.id } };
}

/** Returns a good delivery with the draft's differences. */
export function composeDelivery({ sender, secrets }: Signing, draft: Draft): AuditDelivery {
  const { events = [newEvent(sender)], headers = [] } = draft;
  const body = toBuffer(draft.body ?? sender.composeBody(events));
  const signedBody = draft.signedBody === undefined ? body : toBuffer(draft.signedBody);
  const { signature, now } = sign({ sender, secrets }, draft, signedBody, events[0]?.id ?? randomUUID());
  const sent = { ...signature, ...draft.alterSignature?.(signature) };
  const lines = [
    ...DEFAULT_HEADERS,
    ...(events[0] ? sender.eventHeaders(events[0], now) : []),
    ...(draft.signatureHeaders ?? sender.signatureHeaders)(sent),
  ];
  const isReplaced = (name: string) => headers.some(([other]) => other.toLowerCase() === name.toLowerCase());
  const withheldDigests =
    body.byteLength > MAX_BODY_SIGNED_TWICE
      ? []
      : secrets
          .flatMap((secret) => spellings(sender, sender.computeDigest(secret, sent, body)))
          .filter((digest) => !lines.some(([, value]) => value.includes(digest)));
  return {
    method: draft.method ?? "POST",
    path: draft.path,
    headers: [...lines.filter(([name]) => !isReplaced(name)), ...headers],
    body,
    chunked: draft.chunked,
    pieces: draft.pieces,
    pause: draft.pause,
    ids: events
      .filter(({ content }) => content[sender.typeField] === sender.defaultType)
      .map(({ id }) => (identifiesBySignature(sender) ? toHex(sender, sent.digest) : id)),
    withheldDigests,
  };
}

function sign(
  { sender, secrets }: Signing,
  draft: Draft,
  body: Uint8Array,
  id: string,
): { signature: SignatureValues; now: number } {
  const { secret = secrets[0], version = "1", timeOffset = 0 } = draft;
  const pattern = draft.digestPattern ?? defaultPattern(sender, draft);
  const first = Date.now() + timeOffset;
  for (let now = first; now > first - MAX_SIGNING_ATTEMPTS; now--) {
    const time = draft.time ?? sender.formatTime(now);
    const digest = sender.computeDigest(secret, { time, version, id }, body);
    if (pattern.test(digest)) return { signature: { time, version, id, digest }, now };
  }
  throw new CheckSkipped(`no signature that matches ${pattern} was found`);
}

/** Only the checks about leading zeros use digests that have one. A fixed time leaves no choice of digests. */
function defaultPattern(sender: Sender, { time }: Draft): RegExp {
  return sender.dropsLeadingZeros && time === undefined ? NO_LEADING_ZERO : ANY_DIGEST;
}

function toHex({ digestEncoding }: Sender, digest: string): string {
  return Buffer.from(digest, digestEncoding).toString("hex");
}

/** Returns a digest in the encodings that a reply may quote it in. */
function spellings(sender: Sender, digest: string): readonly string[] {
  const bytes = Buffer.from(digest, sender.digestEncoding);
  const hex = toHex(sender, digest).replace(/^0+/, "");
  return [hex, hex.toUpperCase(), bytes.toString("base64"), bytes.toString("base64url")];
}

export function toBuffer(content: string | Uint8Array): Buffer {
  return typeof content === "string"
    ? Buffer.from(content)
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
}
