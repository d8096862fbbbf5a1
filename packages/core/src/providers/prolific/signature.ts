import type { DeliveryHeaders } from "../../delivery.js";
import type { SignatureParts } from "../../provider.js";

/** 32 bytes in base64. */
const BASE64 = /^[A-Za-z0-9+/]{43}=$/;
const SECONDS = /^\d{1,11}$/;

/**
 * Reads `X-Prolific-Request-Signature` and `X-Prolific-Request-Timestamp`, Unix time in seconds.
 * What is signed is the timestamp's text followed by the body.
 *
 * Source: Prolific's API reference, "Verifying webhook signatures".
 */
export function parseSignature(
  headers: DeliveryHeaders,
): SignatureParts | "SIGNATURE_MISSING" | "SIGNATURE_MALFORMED" {
  const signature = headers.get("x-prolific-request-signature");
  if (!signature) return "SIGNATURE_MISSING";
  const timestamp = headers.get("x-prolific-request-timestamp") ?? "";
  if (!SECONDS.test(timestamp) || !BASE64.test(signature)) return "SIGNATURE_MALFORMED";
  const bytes = atob(signature);
  // The last digit has two bits to spare: of the spellings of one digest only the regular one is read.
  if (btoa(bytes) !== signature) return "SIGNATURE_MALFORMED";
  const digest = Array.from(bytes, (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return { prefix: timestamp, digest, timestamp: Number(timestamp) * 1000 };
}
