import { checkNames } from "../../options.js";
import { describeValue, isObject, typeName } from "../../text/describe.js";
import { signsEventIds } from "./assemble-provider.js";
import type {
  CustomSignature,
  EnvelopeDefinition,
  HeaderName,
  ProviderDefinition,
  SignatureDefinition,
} from "./definition.js";
import { namesOf } from "./header-names.js";

const FIELDS = [
  "name",
  "title",
  "defaultPath",
  "secretVariable",
  "signature",
  "envelope",
  "events",
  "occurrenceOf",
];
const SIGNATURE_FIELDS = [
  "header",
  "algorithm",
  "encoding",
  "prefix",
  "separator",
  "signs",
  "timestamp",
  "id",
  "secret",
];
const ENVELOPE_FIELDS = ["events", "type", "id", "time", "subject", "data"];
const UNITS = ["seconds", "milliseconds"];
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const TYPE_LENGTH_MAX = 255;

/** @throws TypeError for a definition that cannot work. The message names the field and the fix. */
export function checkDefinition(definition: ProviderDefinition): void {
  checkNames("defineProvider", definition, FIELDS);
  const { name, title, defaultPath, secretVariable, signature, envelope, events } = definition;
  requireMatch("name", name, /^[a-z][a-z0-9-]{0,63}$/, "lower-case letters, digits and hyphens");
  if (title !== undefined) requireMatch("title", title, /\S/, "a name");
  if (defaultPath !== undefined) requireMatch("defaultPath", defaultPath, /^\//, "a path such as /webhook");
  if (secretVariable !== undefined)
    requireMatch("secretVariable", secretVariable, /^[A-Za-z_]\w*$/, "the name of an environment variable");
  requireObject("signature", signature);
  if ("parse" in signature) checkCustomSignature(signature);
  else checkSignature(signature);
  requireObject("envelope", envelope);
  checkEnvelope(envelope);
  checkEvents(events);
  checkIds(definition);
  checkSignedTime(definition);
}

function fail(field: string, problem: string): never {
  throw new TypeError(`defineProvider: ${field} ${problem}`);
}

function requireMatch(
  field: string,
  value: unknown,
  pattern: RegExp,
  expected: string,
): asserts value is string {
  if (typeof value !== "string" || !pattern.test(value))
    fail(field, `must be ${expected}, not ${describeValue(value)}.`);
}

function requireOneOf(field: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    fail(field, `must be ${choices.map((each) => `"${each}"`).join(" or ")}, not ${describeValue(value)}.`);
}

function requireObject(field: string, value: unknown): asserts value is object {
  if (!isObject(value)) fail(field, `must be an object, not ${typeName(value)}.`);
}

function requireText(field: string, value: unknown): void {
  requireMatch(field, value, /^[\x20-\x7e]+$/, "a text in ASCII that is not empty");
}

function requireHeader(field: string, name: HeaderName): void {
  const names: readonly unknown[] = Array.isArray(name) ? name : [name];
  if (names.length === 0) fail(field, "must name a header, not be empty.");
  for (const each of names) requireMatch(field, each, TOKEN, "the name of a header");
}

function requirePath(field: string, path: unknown): void {
  requireMatch(field, path, /^[^.]+(?:\.[^.]+)*$/, 'the name of a field, such as "task.id"');
}

function checkCustomSignature({ format, parse, hmac }: CustomSignature): void {
  if (typeof parse !== "function") fail("signature.parse", `must be a function, not ${typeName(parse)}.`);
  requireObject("signature.format", format);
  if (!Array.isArray(format.headers)) fail("signature.format.headers", "must be a list of header names.");
  requireHeader("signature.format.headers", format.headers);
  if (hmac) requireOneOf("signature.hmac.algorithm", hmac.algorithm, ["sha256", "sha1"]);
}

function checkSignature(signature: SignatureDefinition): void {
  checkNames("defineProvider's signature", signature, SIGNATURE_FIELDS);
  const { header, algorithm = "sha256", encoding, prefix, separator, timestamp, id, secret } = signature;
  requireHeader("signature.header", header);
  requireOneOf("signature.algorithm", algorithm, ["sha256", "sha1"]);
  requireOneOf("signature.encoding", encoding, ["hex", "base64"]);
  if (prefix !== undefined && prefix !== "") requireText("signature.prefix", prefix);
  if (separator !== undefined) {
    requireText("signature.separator", separator);
    if (/[\w+/=-]/.test(separator))
      fail("signature.separator", "must not have letters, digits or signs that a signature has.");
  }
  if (id !== undefined) {
    requireObject("signature.id", id);
    requireSameNames("signature.id.header", id.header, header);
  }
  if (timestamp !== undefined) checkTimestamp(signature, timestamp);
  if (secret !== undefined) {
    requireObject("signature.secret", secret);
    requireOneOf("signature.secret.encoding", secret.encoding, ["hex", "base64"]);
    if (secret.prefix !== undefined) requireText("signature.secret.prefix", secret.prefix);
  }
  checkTemplate(signature);
}

function checkTimestamp(
  { header, prefix, separator }: SignatureDefinition,
  timestamp: NonNullable<SignatureDefinition["timestamp"]>,
): void {
  requireObject("signature.timestamp", timestamp);
  requireOneOf("signature.timestamp.unit", timestamp.unit, UNITS);
  if ((timestamp.header === undefined) === (timestamp.prefix === undefined))
    fail("signature.timestamp", "must have either a header or a prefix.");
  if (timestamp.header !== undefined) {
    requireSameNames("signature.timestamp.header", timestamp.header, header);
    return;
  }
  requireText("signature.timestamp.prefix", timestamp.prefix);
  if (prefix === undefined || prefix === "" || prefix === timestamp.prefix)
    fail("signature.prefix", "must differ from the prefix of the time, to tell the two apart.");
  if (separator === undefined)
    fail("signature.separator", "is missing. Set the text between the time and the signature in the header.");
}

/** A provider's software sends all headers under names of one set. */
function requireSameNames(field: string, name: HeaderName, header: HeaderName): void {
  requireHeader(field, name);
  if (namesOf(name).length !== namesOf(header).length)
    fail(field, "must have as many names as signature.header, in the same order.");
}

function checkTemplate({ signs, timestamp, id }: SignatureDefinition): void {
  requireText("signature.signs", signs);
  const names = Array.from(signs.matchAll(/\{([^{}]*)\}/g), ([, name]) => name);
  const unknown = names.find((name) => !["body", "timestamp", "id"].includes(name as string));
  if (unknown !== undefined) fail("signature.signs", `has {${unknown}}. Use {body}, {timestamp} and {id}.`);
  if (names.filter((name) => name === "body").length !== 1)
    fail("signature.signs", "must have {body} exactly once: else the body could be changed.");
  for (const [name, given] of [
    ["timestamp", timestamp],
    ["id", id],
  ] as const) {
    if (names.includes(name) && given === undefined)
      fail(`signature.${name}`, `is missing, and signature.signs has {${name}}.`);
    if (!names.includes(name) && given !== undefined)
      fail(`signature.${name}`, `is not signed. Add {${name}} to signature.signs, or remove it.`);
  }
}

function checkEnvelope(envelope: EnvelopeDefinition): void {
  checkNames("defineProvider's envelope", envelope, ENVELOPE_FIELDS);
  const { events, type, id, time, subject, data } = envelope;
  if (isObject(events)) {
    requirePath("envelope.events.field", events.field);
    if (events.optional !== true)
      fail("envelope.events.optional", `must be true, not ${describeValue(events.optional)}.`);
  } else if (events !== undefined && typeof events !== "function") requirePath("envelope.events", events);
  checkPlace("envelope.type", type);
  checkPlace("envelope.id", id);
  if (time !== undefined) {
    requireObject("envelope.time", time);
    if ("field" in time) requirePath("envelope.time.field", time.field);
    else checkPlace("envelope.time", time);
    if (!("from" in time)) requireOneOf("envelope.time.format", time.format, ["iso8601", ...UNITS]);
  }
  if (subject !== undefined && typeof subject !== "function")
    for (const path of [subject].flat()) requirePath("envelope.subject", path);
  if (data !== undefined) requirePath("envelope.data", data);
}

function checkPlace(field: string, place: unknown): void {
  if (place === undefined) fail(field, 'is missing. Name a field, such as "id", or { header }.');
  if (typeof place === "string") {
    requirePath(field, place);
    return;
  }
  requireObject(field, place);
  if ("from" in place) requireOneOf(`${field}.from`, place.from, ["signature"]);
  else requireHeader(`${field}.header`, (place as { header: HeaderName }).header);
}

function checkEvents(events: unknown): void {
  requireObject("events", events);
  const composed = new Set<string>();
  for (const [type, schema] of Object.entries(events)) {
    const field = `events[${JSON.stringify(type.slice(0, TYPE_LENGTH_MAX))}]`;
    if (type === "" || type !== type.trim() || type.length > TYPE_LENGTH_MAX)
      fail(field, "must be a type of 1 to 255 characters without white space around it.");
    // Such types look equal, but deliveries have only one of them, so the listeners of the other never run.
    if (composed.size === composed.add(type.normalize()).size)
      fail(field, "is the same text as another type, in another Unicode form. Keep the one that is sent.");
    if (typeof Object(Object(schema)["~standard"]).validate !== "function")
      fail(field, `must be a schema with Standard Schema, such as zod's, not ${typeName(schema)}.`);
  }
}

/** Without signed ids a captured request could be sent again under another id. The receiver then claims its signature. */
function checkIds(definition: ProviderDefinition): void {
  const { signature, envelope } = definition;
  const isFromSignature = typeof envelope.id === "object" && "from" in envelope.id;
  if (signsEventIds(definition) && !isFromSignature) return;
  if (envelope.events !== undefined)
    fail("envelope.id", "must be a field of the event, because a delivery has many events.");
  if ("separator" in signature && signature.separator !== undefined)
    fail(
      "envelope.id",
      "must be signed, because the header can have several signatures: each would be a new event.",
    );
}

function checkSignedTime({ signature, envelope: { time } }: ProviderDefinition): void {
  if (time === undefined || !("from" in time)) return;
  requireOneOf("envelope.time.from", time.from, ["signature"]);
  const field = "parse" in signature ? "signature.format.timestamp" : "signature.timestamp";
  if (("parse" in signature ? signature.format : signature).timestamp === undefined)
    fail(field, 'is missing, and envelope.time is { from: "signature" }. Add it, or remove envelope.time.');
}
