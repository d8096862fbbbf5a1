import type { DeliveryHeaders } from "../../delivery.js";
import { bytesOfBase64, bytesOfHex } from "../../text/bytes.js";
import type { HmacFormat, SignatureFormat, SignatureParts } from "../signature-format.js";
import type { CustomSignature, HeaderName, SignatureDefinition } from "./definition.js";
import { namesOf } from "./header-names.js";

/** A header with more entries, or a longer one, is refused: its sender chooses how much there is to compare. */
const ENTRIES_MAX = 20;
const HEADER_LENGTH_MAX = 4_096;
const ID_LENGTH_MAX = 255;

const DIGITS = { seconds: /^\d{1,11}$/, milliseconds: /^\d{1,15}$/ };
const DIGEST_BYTES = { sha256: 32, sha1: 20 };

type Parsed = SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED";

/** Returns the signature that a checked definition describes. */
export function createSignature(definition: SignatureDefinition): CustomSignature {
  const { algorithm = "sha256", encoding, prefix = "", separator, timestamp, id, secret } = definition;
  const read = createReader(definition);
  const digestOf = createDigestReader(encoding, DIGEST_BYTES[algorithm]);
  const { before, after } = createSignedText(definition.signs);

  function parse(headers: DeliveryHeaders): Parsed {
    const sent = read(headers);
    if (typeof sent === "string") return sent;
    const { header, id: sentId } = sent;
    const entries = separator === undefined ? [header] : header.split(separator, ENTRIES_MAX + 1);
    if (entries.length > ENTRIES_MAX) return "SIGNATURE_MALFORMED";
    const time = timestamp?.prefix === undefined ? sent.time : entryAfter(timestamp.prefix, entries);
    if (timestamp && !DIGITS[timestamp.unit].test(time)) return "SIGNATURE_MALFORMED";
    if (id && (sentId === "" || sentId.length > ID_LENGTH_MAX)) return "SIGNATURE_MALFORMED";
    const digests: string[] = [];
    for (const entry of entries) {
      const digest = entry.startsWith(prefix) ? digestOf(entry.slice(prefix.length)) : undefined;
      if (digest !== undefined) digests.push(digest);
    }
    const [digest] = digests;
    if (digest === undefined) return "SIGNATURE_MALFORMED";
    const suffix = after(time, sentId);
    return {
      prefix: before(time, sentId),
      ...(suffix && { suffix }),
      digest: separator === undefined ? digest : digests,
      timestamp: timestamp && Number(time) * (timestamp.unit === "seconds" ? 1000 : 1),
    };
  }

  return { format: describe(definition, algorithm), parse, hmac: hmacFormat(algorithm, secret) };
}

/** Returns a function that reads the headers, all under names of one set: a mixture of two sets is malformed. */
function createReader({ header, timestamp, id }: SignatureDefinition) {
  const lower = (name: HeaderName | undefined) =>
    name === undefined ? [] : namesOf(name).map((each) => each.toLowerCase());
  const [signatureNames, timeNames, idNames] = [lower(header), lower(timestamp?.header), lower(id?.header)];
  return (headers: DeliveryHeaders) => {
    for (const [index, name] of signatureNames.entries()) {
      const signature = headers.get(name);
      if (!signature) continue;
      if (signature.length > HEADER_LENGTH_MAX) return "SIGNATURE_MALFORMED";
      const other = (names: readonly string[]) => {
        const name = names[index];
        return (name !== undefined && headers.get(name)) || "";
      };
      return { header: signature, time: other(timeNames), id: other(idNames) };
    }
    return "SIGNATURE_MISSING";
  };
}

function entryAfter(prefix: string, entries: readonly string[]): string {
  return entries.find((entry) => entry.startsWith(prefix))?.slice(prefix.length) ?? "";
}

/** Returns a function that returns a digest in lower-case hex, or `undefined` for a text that is none. */
function createDigestReader(encoding: "hex" | "base64", bytes: number): (text: string) => string | undefined {
  if (encoding === "hex") {
    const hex = new RegExp(`^[0-9a-fA-F]{${2 * bytes}}$`);
    return (text) => (hex.test(text) ? text.toLowerCase() : undefined);
  }
  const base64 = base64Pattern(bytes);
  return (text) => {
    if (!base64.test(text)) return undefined;
    const decoded = atob(text);
    // The last digit has unused bits, so several texts decode to one digest. Only the text that `btoa`
    // writes is accepted.
    if (btoa(decoded) !== text) return undefined;
    // A loop over a table: a function call for each byte takes longer than the rest of the parser.
    let hex = "";
    for (let at = 0; at < decoded.length; at++) hex += HEX[decoded.charCodeAt(at)];
    return hex;
  };
}

/** The two digits of each byte. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function base64Pattern(bytes: number): RegExp {
  const digits = Math.ceil((bytes * 8) / 6);
  return new RegExp(`^[A-Za-z0-9+/]{${digits}}={${(4 - (digits % 4)) % 4}}$`);
}

type Text = (time: string, id: string) => string;

const PLACEHOLDER = /\{(body|timestamp|id)\}/;

/** Splits the template `signs` at its body. Returns the texts in front of the body and after it. */
function createSignedText(template: string): { before: Text; after: Text } {
  const [before = "", after = ""] = template.split("{body}");
  return { before: createText(before), after: createText(after) };
}

function createText(template: string): Text {
  if (template === "") return () => "";
  // The captured names stand at the odd places.
  const parts = template.split(PLACEHOLDER);
  return (time, id) => {
    let text = "";
    for (const [at, part] of parts.entries()) text += at % 2 === 0 ? part : part === "timestamp" ? time : id;
    return text;
  };
}

function hmacFormat(algorithm: HmacFormat["algorithm"], secret: SignatureDefinition["secret"]): HmacFormat {
  if (secret === undefined) return { algorithm };
  const { encoding, prefix = "" } = secret;
  const pattern =
    encoding === "hex" ? /^(?:[0-9a-fA-F]{2})+$/ : /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3})?={0,2}$/;
  return {
    algorithm,
    keyOf(text) {
      const encoded = text.startsWith(prefix) ? text.slice(prefix.length) : text;
      if (encoded === "" || !pattern.test(encoded)) return undefined;
      return encoding === "hex" ? bytesOfHex(encoded.toLowerCase()) : bytesOfBase64(encoded);
    },
    secretIs: prefix === "" ? `a key in ${encoding}` : `${prefix} and a key in ${encoding}`,
  };
}

/** Returns what messages and tools say about the signature's headers. */
function describe(definition: SignatureDefinition, algorithm: HmacFormat["algorithm"]): SignatureFormat {
  const { header, encoding, prefix = "", separator, timestamp, id, signs } = definition;
  const sets = [header, timestamp?.header, id?.header].filter((name) => name !== undefined).map(namesOf);
  const [headers, ...aliases] = namesOf(header).map(
    (_, index) => sets.map((names) => names[index]) as [string, ...string[]],
  );
  const bytes = DIGEST_BYTES[algorithm];
  const digest = encoding === "hex" ? `[0-9a-fA-F]{${2 * bytes}}` : base64Pattern(bytes).source.slice(1, -1);
  const whole = `${escapeRegExp(prefix)}${digest}`;
  const words =
    encoding === "hex" ? `${2 * bytes} hex digits` : `${4 * Math.ceil(bytes / 3)} characters of base64`;
  const time = timestamp?.prefix === undefined ? [] : [`${timestamp.prefix}1700000000`];
  const [first = ""] = headers ?? [];
  return {
    headers: headers ?? [first],
    ...(aliases.length > 0 && { aliases }),
    whenMissing: "was the webhook registered with a secret, and are its headers passed on unchanged?",
    example:
      prefix === "" ? words : `${[...time, `${prefix}…`].join(separator)} with ${words} after ${prefix}`,
    complete: new RegExp(separator === undefined ? `^${whole}$` : whole),
    ...(timestamp && { timestamp: describeTime(timestamp, first) }),
    signs: inWords(signs),
  };
}

function describeTime(
  { header, prefix, unit }: NonNullable<SignatureDefinition["timestamp"]>,
  signatureHeader: string,
): NonNullable<SignatureFormat["timestamp"]> {
  if (prefix === undefined) {
    const [name] = namesOf(header as HeaderName);
    return { name, header: name.toLowerCase(), pattern: /^(\d+)$/, unit };
  }
  return {
    name: prefix,
    header: signatureHeader.toLowerCase(),
    pattern: new RegExp(`${escapeRegExp(prefix)}(\\d+)`),
    unit,
  };
}

/** Returns a template in words: `the id, a dot, the time, a dot and the body`. */
function inWords(template: string): string {
  const words = template
    .split(/(\{(?:body|timestamp|id)\})/)
    .filter((part) => part !== "")
    .map((part) => WORDS[part] ?? JSON.stringify(part));
  const last = words.pop() ?? "";
  return words.length === 0 ? last : `${words.join(", ")} and ${last}`;
}

const WORDS: Readonly<Record<string, string>> = {
  "{body}": "the body",
  "{timestamp}": "the time",
  "{id}": "the id",
  ".": "a dot",
  ":": "a colon",
};

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
