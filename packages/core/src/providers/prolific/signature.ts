import type { DeliveryHeaders } from "../../delivery.js";
import type { SignatureFormat, SignatureParts } from "../../provider.js";

const SIGNATURE_HEADER = "x-prolific-request-signature";
const TIMESTAMP_HEADER = "x-prolific-request-timestamp";

/** 32 bytes in base64. */
const BASE64 = /^[A-Za-z0-9+/]{43}=$/;
const SECONDS = /^\d{1,11}$/;

export const SIGNATURE_FORMAT: SignatureFormat = {
  headers: ["X-Prolific-Request-Signature", "X-Prolific-Request-Timestamp"],
  whenMissing: "pass both headers on unchanged",
  example: "44 characters of base64 that end with =",
  complete: BASE64,
  timestamp: {
    name: "X-Prolific-Request-Timestamp",
    header: TIMESTAMP_HEADER,
    pattern: /^(\d+)$/,
    unit: "seconds",
  },
  signs: "the time and the body",
};

export function matches(headers: DeliveryHeaders): boolean {
  return [SIGNATURE_HEADER, TIMESTAMP_HEADER, "x-event-id"].some((name) => headers.get(name));
}

/**
 * Parses `X-Prolific-Request-Signature` and `X-Prolific-Request-Timestamp`, Unix time in seconds. The
 * signature covers the text of the timestamp, followed by the body.
 *
 * Source: Prolific's API reference, "Verifying webhook signatures".
 */
export function parseSignature(
  headers: DeliveryHeaders,
): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED" {
  const signature = headers.get(SIGNATURE_HEADER);
  if (!signature) return "SIGNATURE_MISSING";
  const timestamp = headers.get(TIMESTAMP_HEADER) ?? "";
  if (!SECONDS.test(timestamp) || !BASE64.test(signature)) return "SIGNATURE_MALFORMED";
  const bytes = atob(signature);
  // The last base64 digit has two unused bits, so four texts decode to one digest. Only the text that
  // `btoa` writes is accepted.
  if (btoa(bytes) !== signature) return "SIGNATURE_MALFORMED";
  const digest = Array.from(bytes, (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return { prefix: timestamp, digest, timestamp: Number(timestamp) * 1000 };
}
