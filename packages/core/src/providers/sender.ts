import type { EventMap } from "../event.js";
import { checkNames } from "../options.js";
import type { Provider } from "../provider.js";
import { typeName } from "../text/describe.js";

/** A signed request for `fetch`, supertest, Fastify's `inject` or a receiver's `handle`. */
export interface SignedDelivery {
  readonly method: "POST";
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. The signature covers its UTF-8 bytes, so send the text unchanged. */
  readonly body: string;
}

/** Header names and values, in the order of sending. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** The values in a provider's signature headers. */
export interface SignatureValues {
  /** Unix time in the provider's unit. Empty if the provider signs no time. */
  readonly time: string;
  /** The id of the delivery's first event. Providers that sign no id ignore it. */
  readonly id: string;
  /** The version of the scheme. Providers without versions ignore it. */
  readonly version: string;
  /** In the provider's encoding. */
  readonly digest: string;
}

/** An event to send. */
export interface SentEvent {
  readonly id: string;
  /** The event's object in the body. */
  readonly content: Readonly<Record<string, unknown>>;
}

/**
 * Writes and signs deliveries as a provider does, for tests, the command line and the audit. Receivers
 * share no signing code with it, so each can test the other.
 */
export interface Sender<Events extends EventMap = EventMap> {
  readonly provider: Provider<Events>;
  /** The event type that tools send by default. */
  readonly defaultType: string;
  /** The field of an event's object that holds its type. */
  readonly typeField: string;
  /** The types that only the provider's test call sends. Nobody can subscribe to them. */
  readonly testTypes: readonly string[];
  readonly digestEncoding: "hex" | "base64";
  /** Whether the provider writes digests without their leading zeros. */
  readonly dropsLeadingZeros: boolean;
  /**
   * Returns an event with all documented fields and a new id. Its assignment, submission or study has a
   * new id, too; a Toloka pool has not.
   *
   * @param fields Replace documented fields or add fields.
   */
  sample(type: string, fields?: Readonly<Record<string, unknown>>): SentEvent;
  /** @param milliseconds Unix time. */
  formatTime(milliseconds: number): string;
  /** Returns the body of a delivery, with the same white space as the provider's serializer. */
  composeBody(events: readonly SentEvent[]): string;
  computeDigest(secret: string, signed: Omit<SignatureValues, "digest">, body: string | Uint8Array): string;
  signatureHeaders(signature: SignatureValues): HeaderLines;
  /** Returns the provider's other headers. @param time Unix time in milliseconds. */
  eventHeaders(event: SentEvent, time: number): HeaderLines;
}

/**
 * Checks the arguments of a function that signs a delivery for a test.
 *
 * @throws TypeError for a secret that is missing, and for an option that does not exist.
 */
export function checkSigning(
  caller: string,
  options: { readonly secret: string },
  known: readonly string[],
): void {
  checkNames(caller, options, known);
  if (typeof options.secret !== "string" || options.secret === "") {
    const given = options.secret === "" ? "an empty one" : typeName(options.secret);
    throw new TypeError(
      `${caller} takes a secret that is not empty, not ${given}. Pass the receiver's secret.`,
    );
  }
}

/** Returns a delivery of these events. `timestamp` is the time of signing: Unix time in milliseconds. */
export function signDelivery<Events extends EventMap>(
  sender: Sender<Events>,
  {
    secret,
    events,
    timestamp = Date.now(),
  }: { readonly secret: string; readonly events: readonly SentEvent[]; readonly timestamp?: number },
): SignedDelivery {
  const body = sender.composeBody(events);
  const [first] = events;
  const lines = [
    ["content-type", "application/json"] as const,
    ...(first === undefined ? [] : sender.eventHeaders(first, timestamp)),
    ...signatureLines(sender as Sender, secret, body, first?.id ?? "", timestamp),
  ];
  return {
    method: "POST",
    headers: Object.fromEntries(lines.map(([name, value]) => [name.toLowerCase(), value])),
    body,
  };
}

/**
 * Returns headers with a new signature over a body, by the time of the call. The other headers stay, because
 * a redelivery has the same.
 *
 * @param id The id of the delivery's first event, which some providers sign.
 */
export function signAgain(
  sender: Sender,
  secret: string,
  { headers, body, id }: { readonly headers: HeaderLines; readonly body: Uint8Array; readonly id: string },
): HeaderLines {
  const lines = signatureLines(sender, secret, body, id, Date.now());
  const replaced = new Set(lines.map(([name]) => name.toLowerCase()));
  return [...headers.filter(([name]) => !replaced.has(name.toLowerCase())), ...lines];
}

/** Returns the signature headers. @param timestamp The time of signing: Unix time in milliseconds. */
function signatureLines(
  sender: Sender,
  secret: string,
  body: string | Uint8Array,
  id: string,
  timestamp: number,
): HeaderLines {
  const signed = { time: sender.formatTime(timestamp), version: "1", id };
  return sender.signatureHeaders({ ...signed, digest: sender.computeDigest(secret, signed, body) });
}
