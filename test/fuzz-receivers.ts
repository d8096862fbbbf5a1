import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReceiver, type Provider, type ReceivedEvent, type Reply } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import type { ProviderName } from "./fuzz-deliveries.js";

export const PROVIDERS = { toloka, prolific } as unknown as Record<ProviderName, Provider>;

/** Every code that a reply can have, and its status. */
const STATUS: Readonly<Record<string, number>> = {
  METHOD_NOT_ALLOWED: 405,
  BODY_TOO_LARGE: 413,
  ENCODING_UNSUPPORTED: 415,
  SIGNATURE_MISSING: 401,
  SIGNATURE_MALFORMED: 401,
  SIGNATURE_MISMATCH: 401,
  TIMESTAMP_OUT_OF_TOLERANCE: 401,
  BODY_NOT_JSON: 400,
  ENVELOPE_INVALID: 400,
  BODY_ABORTED: 400,
  EVENT_FAILED: 500,
  EVENT_BUSY: 503,
  SECRET_UNAVAILABLE: 503,
  STORE_UNAVAILABLE: 503,
  SINK_UNAVAILABLE: 503,
  OVERLOADED: 503,
  SHUTTING_DOWN: 503,
  BODY_UNAVAILABLE: 500,
  INTERNAL_ERROR: 500,
};

/** A reply's code, "" if it is a 200. Throws unless it is one of the table's, in every part. */
export function codeOf({ status, headers, body }: Reply): string {
  const { code = "", message, ...counts } = JSON.parse(body);
  assert.equal(status, code === "" ? 200 : STATUS[code]);
  assert.equal(typeof message, code === "" ? "undefined" : "string");
  assert.equal(headers["content-length"], String(Buffer.byteLength(body)));
  assert.equal(headers.allow, status === 405 ? "POST" : undefined);
  assert.equal(headers["retry-after"], status === 503 ? "5" : undefined);
  for (const [outcome, count] of Object.entries(counts)) {
    assert.match(outcome, /^(handled|ignored|duplicate|failed|busy|unrecognized)$/);
    assert.ok(Number.isSafeInteger(count) && (count as number) >= 0);
  }
  return code;
}

/** A receiver with a listener for everything that hears which events it handles. */
export function listening(name: ProviderName, options: Parameters<typeof createReceiver>[1]) {
  const receiver = createReceiver(PROVIDERS[name], options);
  const handled = new Set<ReceivedEvent>();
  receiver.onAny((event) => handled.add(event));
  receiver.onUnrecognized((event) => handled.add(event));
  return { receiver, handled };
}

/** HMAC-SHA256 as RFC 2104 defines it. */
export function hmac(secret: string, text: Uint8Array): Buffer {
  const sha256 = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  const bytes = Buffer.from(secret);
  const key = Buffer.alloc(64);
  (bytes.length > 64 ? sha256(bytes) : bytes).copy(key);
  return sha256(
    key.map((byte) => byte ^ 0x5c),
    sha256(
      key.map((byte) => byte ^ 0x36),
      text,
    ),
  );
}

export const SECRET = "12345";
export const NOW = 1_700_000_000_000;

/** A request that is signed as the platforms document it. */
export function signedLines(name: ProviderName, body: Uint8Array, id: string): [string, string][] {
  const seconds = String(NOW / 1000);
  const digest = hmac(SECRET, Buffer.concat([Buffer.from(name === "toloka" ? `${NOW}.1.` : seconds), body]));
  return name === "toloka"
    ? [["Toloka-Signature", `{v=1, ts=${NOW}, sign=${digest.toString("hex")}}`]]
    : [
        ["X-Prolific-Request-Timestamp", seconds],
        ["X-Prolific-Request-Signature", digest.toString("base64")],
        ["X-Event-ID", id],
        ["X-Timestamp", seconds],
      ];
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
