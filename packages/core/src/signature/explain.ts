import { prepareKey, verify } from "#hmac";
import type { SignatureParts } from "../provider.js";

/** Larger bodies are not parsed to find out what happened to them: nobody has vouched for them. */
const PARSED_MAX = 256 * 1024;
/** Bytes that are hashed at the most: whoever knows the URL can have it done, and nothing else runs meanwhile. */
const HASHED_MAX = 32 * 1024 * 1024;

/**
 * Why a signature does not fit, in a sentence for the operator: the mistakes that people make are
 * tried one by one, and the one that makes it fit is named. `undefined` if none does.
 */
export async function explainMismatch(
  secrets: readonly string[],
  { prefix, digest }: SignatureParts,
  body: Uint8Array,
): Promise<string | undefined> {
  let hashed = 0;
  const fits = async (secret: string, bytes: Uint8Array) => {
    hashed += bytes.byteLength;
    return hashed <= HASHED_MAX && verify([await prepareKey(secret)], prefix, bytes, digest);
  };
  for (const secret of secrets) {
    for (const [mistake, variant] of misspelt(secret)) {
      if (await fits(variant, body)) return `a delivery was signed with the secret ${mistake}.`;
    }
  }
  for (const [mistake, variant] of altered(body)) {
    for (const secret of secrets) {
      if (await fits(secret, variant)) return `a delivery's signature fits the body ${mistake}.`;
    }
  }
  return undefined;
}

const HOUR_MS = 60 * 60 * 1000;

/** Why a time is out of tolerance. In seconds; `now` in milliseconds. */
export function untimely(age: number, tolerance: number, now: number): string {
  const signedAt = now - age * 1000;
  if (Math.abs(now - signedAt * 1000) < HOUR_MS) {
    return "a genuine delivery has its time in seconds where milliseconds belong.";
  }
  const off = `${Math.round(Math.abs(age))} seconds ${age < 0 ? "in the future" : "ago"} by this clock`;
  return `a genuine delivery was signed ${off}; ${tolerance} are tolerated. Is the clock right, or was it held up?`;
}

function* misspelt(secret: string): Generator<[mistake: string, variant: string]> {
  for (const [name, space] of [
    ["a line break", "\n"],
    ["a Windows line break", "\r\n"],
    ["a space", " "],
    ["a tab", "\t"],
  ] as const) {
    yield [`and ${name} after it: register the subscription without`, secret + space];
    yield [`and ${name} before it: register the subscription without`, space + secret];
  }
  const quoted = /^(["'])(.+)\1$/.exec(secret)?.[2];
  if (quoted) yield ["without the quotes around it: take them out of this app's configuration", quoted];
  yield ["in double quotes: register the subscription without", `"${secret}"`];
}

function* altered(body: Uint8Array): Generator<[mistake: string, variant: Uint8Array]> {
  const serialized =
    "serialized anew: something in front parsed it, a body parser or a proxy. Pass on the bytes as they came";
  const encoder = new TextEncoder();
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return;
  }
  const trimmed = text.trim();
  if (trimmed !== text) {
    yield ["without the white space around it: something in front has added it", encoder.encode(trimmed)];
  }
  yield ["with a line break after it: something in front has cut it off", encoder.encode(`${text}\n`)];
  if (body.byteLength > PARSED_MAX) return;
  for (const variant of rewritten(text)) yield [serialized, encoder.encode(variant)];
}

/** A JSON text as others would have written it: JavaScript and Python, in UTF-8 and in ASCII. Empty if it is no JSON. */
export function rewritten(text: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  return [JSON.stringify(value), spaced(value)].flatMap((json) => [json, escaped(json)]);
}

/** As Python's `json.dumps` writes it. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([name, field]) => `${JSON.stringify(name)}: ${spaced(field)}`);
  return `{${fields.join(", ")}}`;
}

/** In ASCII. */
function escaped(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
