import { createHmac, randomUUID } from "node:crypto";
import type { EventMap } from "../event.js";
import type { Provider } from "../provider.js";
import type { EnvelopeDefinition, SignatureDefinition } from "./defining/definition.js";
import { fieldReader } from "./defining/envelope.js";
import { namesOf } from "./defining/header-names.js";
import { idOf } from "./event-validator.js";
import type { Sender, SentEvent, SignatureValues } from "./sender.js";

type Sample = Readonly<Record<string, unknown>>;

/** The sample events of a sender, and which of them tools send by default. */
export interface SenderOptions {
  /**
   * One valid object per event type, as the provider writes it, or a function that makes one. If the id is
   * the signature, make a different object each time: equal bodies are one event. If each type has a sample,
   * one of them must have the field that the definition names as the subject.
   */
  readonly samples: Readonly<Record<string, Sample | (() => Sample)>>;
  /** Default: the first type in `samples`. */
  readonly defaultType?: string;
  /** Default: none. */
  readonly testTypes?: readonly string[];
}

/**
 * Makes the sender of a provider from its definition, so that the command line and the audit can sign
 * deliveries of it.
 *
 * @throws TypeError for a provider whose definition has functions where the sender needs data.
 */
export function createSender<Events extends EventMap>(
  provider: Provider<Events>,
  { samples, defaultType = Object.keys(samples)[0] ?? "", testTypes = [] }: SenderOptions,
): Sender<Events> {
  const { signature, envelope } = provider.definition ?? {};
  if (signature === undefined || envelope === undefined || "parse" in signature)
    throw new TypeError(`createSender needs a provider whose signature is data, unlike ${provider.name}'s.`);
  const { type: typeField, events } = envelope;
  const list = typeof events === "object" ? events.field : events;
  if (typeof typeField !== "string" || typeField.includes(".") || typeof list === "function")
    throw new TypeError(
      `createSender writes the type and the events into fields of the body. ${provider.name} has its type in a header or a nested field, or its events come from a function: sign its deliveries yourself.`,
    );

  const sample = (type: string, fields: Readonly<Record<string, unknown>> = {}): SentEvent => {
    const id = randomUUID();
    const given = samples[type];
    const documented = typeof given === "function" ? given() : given;
    // Jest's jsdom lacks structuredClone. A sample is JSON.
    const content: Record<string, unknown> = JSON.parse(JSON.stringify({ ...documented, [typeField]: type }));
    if (typeof envelope.id === "string") write(content, envelope.id, id);
    const { time } = envelope;
    if (time && "field" in time) write(content, time.field, formatTime(Date.now(), time.format));
    return { id, content: { ...content, ...fields } };
  };

  if (provider.eventTypes.every((type) => Object.hasOwn(samples, type)))
    checkSubject(
      provider.name,
      envelope,
      provider.eventTypes.map((type) => sample(type).content),
    );
  return {
    provider,
    defaultType,
    typeField,
    testTypes,
    digestEncoding: signature.encoding,
    dropsLeadingZeros: false,
    sample,
    formatTime: (milliseconds) =>
      signature.timestamp ? String(formatTime(milliseconds, signature.timestamp.unit)) : "",
    composeBody: (events) => {
      const contents = events.map(({ content }) => content);
      return JSON.stringify(list === undefined ? contents[0] : write({}, list, contents));
    },
    computeDigest: (secret, signed, body) => computeDigest(signature, secret, signed, body),
    signatureHeaders: (values) => signatureHeaders(signature, values),
    eventHeaders: ({ id }, time) => {
      const lines: [string, string][] = [];
      const isSigned = (name: string) => provider.signatureFormat.headers.includes(name);
      if (typeof envelope.id === "object" && "header" in envelope.id) {
        const [name] = namesOf(envelope.id.header);
        if (!isSigned(name)) lines.push([name, id]);
      }
      if (envelope.time && "header" in envelope.time) {
        const [name] = namesOf(envelope.time.header);
        if (!isSigned(name)) lines.push([name, String(formatTime(time, envelope.time.format))]);
      }
      return lines;
    },
  };
}

/** @throws TypeError for a path of the subject that is in no sample: it is probably misspelt. */
function checkSubject(
  name: string,
  { subject = [], data }: EnvelopeDefinition,
  contents: readonly SentEvent["content"][],
): void {
  if (typeof subject === "function") return;
  for (const path of [subject].flat()) {
    const read = fieldReader(data === undefined ? path : `${data}.${path}`);
    if (contents.some((content) => idOf(read(content)) !== "")) continue;
    throw new TypeError(
      `createSender: envelope.subject of ${name} names ${path}, and no sample has an id there. Correct the path, or add the field to a sample.`,
    );
  }
}

function formatTime(milliseconds: number, format: "iso8601" | "seconds" | "milliseconds"): string | number {
  if (format === "iso8601") return new Date(milliseconds).toISOString();
  return format === "seconds" ? Math.floor(milliseconds / 1000) : milliseconds;
}

/** Writes a field that may be nested, and returns the object. */
function write(object: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const names = path.split(".");
  const last = names.pop() ?? "";
  let place = object;
  for (const name of names) {
    place[name] ??= {};
    place = place[name] as Record<string, unknown>;
  }
  place[last] = value;
  return object;
}

function computeDigest(
  { algorithm = "sha256", encoding, signs, secret: format }: SignatureDefinition,
  secret: string,
  { time, id }: Pick<SignatureValues, "time" | "id">,
  body: string | Uint8Array,
): string {
  const encoded =
    format?.prefix && secret.startsWith(format.prefix) ? secret.slice(format.prefix.length) : secret;
  const hmac = createHmac(algorithm, Buffer.from(encoded, format?.encoding ?? "utf8"));
  for (const part of signs.split(/(\{\w+\})/)) {
    hmac.update(part === "{body}" ? body : part === "{timestamp}" ? time : part === "{id}" ? id : part);
  }
  return hmac.digest(encoding);
}

function signatureHeaders(
  { header, prefix = "", separator = "", timestamp, id: idHeader }: SignatureDefinition,
  { time, id, digest }: SignatureValues,
): [string, string][] {
  const entries = timestamp?.prefix === undefined ? [] : [`${timestamp.prefix}${time}`];
  const lines: [string, string][] = [
    [namesOf(header)[0], [...entries, `${prefix}${digest}`].join(separator)],
  ];
  if (timestamp?.header !== undefined) lines.push([namesOf(timestamp.header)[0], time]);
  if (idHeader) lines.push([namesOf(idHeader.header)[0], id]);
  return lines;
}
