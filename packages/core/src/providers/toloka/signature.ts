import type { DeliveryHeaders } from "../../delivery.js";
import type { SignatureParts } from "../../provider.js";

const SIGNATURE_HEADER = "toloka-signature";

/** Genuine headers have at most 110 characters; the rest is room for fields to come. */
const MAX_LENGTH = 256;
/** As Toloka writes it: read at once, which takes a third of the time. */
const USUAL = /^\{v=(\d{1,15}), ts=(\d{1,15}), sign=([0-9a-f]{40,64})\}$/;
const FIELD = /^\s*([a-z_]+)\s*=\s*([0-9A-Za-z_-]+)\s*$/;
const INTEGER = /^\d{1,15}$/;
/** Toloka's Java signer prints the digest as a number, so that leading zeros are missing. */
const SIGN = /^[0-9a-f]{40,64}$/;

/**
 * Reads `{v=1, ts=946728000000, sign=609a…}`: the fields in any order, others ignored. `ts` is Unix
 * time in milliseconds. What is signed is `ts + "." + v + "." + body`.
 *
 * Source: Toloka's documentation of webhook signatures, and for the short ones its Java SDK.
 */
export function parseSignature(
  headers: DeliveryHeaders,
): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED" {
  const header = headers.get(SIGNATURE_HEADER);
  if (!header) return "SIGNATURE_MISSING";
  const usual = USUAL.exec(header) as [string, string, string, string] | null;
  if (usual) return parts(usual[1], usual[2], usual[3]);
  if (header.length > MAX_LENGTH || !header.startsWith("{") || !header.endsWith("}"))
    return "SIGNATURE_MALFORMED";
  const fields = new Map<string, string>();
  for (const field of header.slice(1, -1).split(",")) {
    const read = FIELD.exec(field) as [string, string, string] | null;
    if (!read || fields.has(read[1])) return "SIGNATURE_MALFORMED";
    fields.set(read[1], read[2]);
  }
  const [v, ts, sign] = ["v", "ts", "sign"].map((name) => fields.get(name) ?? "") as [string, string, string];
  if (!INTEGER.test(v) || !INTEGER.test(ts) || !SIGN.test(sign)) return "SIGNATURE_MALFORMED";
  return parts(v, ts, sign);
}

function parts(v: string, ts: string, sign: string): SignatureParts {
  return { prefix: `${ts}.${v}.`, digest: sign.padStart(64, "0"), timestamp: Number(ts) };
}
