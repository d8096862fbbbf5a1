import type { DeliveryHeaders } from "../../delivery.js";
import type { CustomSignature } from "../defining/definition.js";
import type { SignatureFormat, SignatureParts } from "../signature-format.js";

const HEADER = "toloka-signature";

const FORMAT: SignatureFormat = {
  headers: ["Toloka-Signature"],
  whenMissing: "was the subscription made with a secret_key?",
  example: "{v=1, ts=946728000000, sign=609a…} with 64 digits after sign=",
  // Toloka drops leading zeros, so genuine digests can have fewer than 64 digits.
  complete: /^\{[^{}"']*sign=[0-9a-f]{56,64}[^{}"']*\}$/,
  timestamp: { name: "ts", header: HEADER, pattern: /\bts=(\d+)/, unit: "milliseconds" },
  signs: "the time, a dot, the version, a dot and the body",
};

/** Toloka's headers have at most 110 characters today. The rest is room for new fields. */
const MAX_LENGTH = 256;
const FIELD = /^\s*([a-z_]+)\s*=\s*([0-9A-Za-z_-]+)\s*$/;
const INTEGER = /^\d{1,15}$/;
/** Fewer than 64 digits, because Toloka's Java signer prints the digest as a number, without leading zeros. */
const SIGN = /^[0-9a-f]{40,64}$/;

/**
 * Parses `{v=1, ts=946728000000, sign=609a…}`. Accepts the fields in any order and ignores other fields.
 * `ts` is Unix time in milliseconds. The signature covers `ts + "." + v + "." + body`.
 *
 * Source: Toloka's documentation of webhook signatures; for short digests, its Java SDK.
 */
function parse(headers: DeliveryHeaders): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED" {
  const header = headers.get(HEADER);
  if (!header) return "SIGNATURE_MISSING";
  const fields = parseFields(header);
  const v = fields?.get("v") ?? "";
  const ts = fields?.get("ts") ?? "";
  const sign = fields?.get("sign") ?? "";
  if (!INTEGER.test(v) || !INTEGER.test(ts) || !SIGN.test(sign)) return "SIGNATURE_MALFORMED";
  return { prefix: `${ts}.${v}.`, digest: sign.padStart(64, "0"), timestamp: Number(ts) };
}

/** Returns the fields in `{name=value, …}`; `undefined` if a field is malformed or occurs twice. */
function parseFields(header: string): Map<string, string> | undefined {
  if (header.length > MAX_LENGTH || !header.startsWith("{") || !header.endsWith("}")) return undefined;
  const fields = new Map<string, string>();
  for (const field of header.slice(1, -1).split(",")) {
    const [, name, value] = FIELD.exec(field) ?? [];
    if (name === undefined || value === undefined || fields.has(name)) return undefined;
    fields.set(name, value);
  }
  return fields;
}

/** Toloka's header has its fields in braces, and its digests can lack leading zeros. */
export const SIGNATURE: CustomSignature = { format: FORMAT, parse };
