import type { webcrypto } from "node:crypto";
import { encodeUtf8, nodeModule } from "../values/utf8.js";

/** A prepared secret, so that a delivery does not have to prepare it. */
export type HmacKey = webcrypto.CryptoKey;

/** Found at each use: in Jest's jsdom environment `crypto` has no `subtle`, and an import must not fail. */
const subtle = () => crypto.subtle ?? nodeModule("node:crypto").webcrypto.subtle;

export async function prepareKey(secret: string): Promise<HmacKey> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return subtle().importKey("raw", encodeUtf8(secret), algorithm, false, ["verify"]);
}

const DIGEST = /^[0-9a-f]{64}$/;

/**
 * Returns whether `digest` (lower-case hex) is the HMAC-SHA256 of `prefix` and `body` under one of the
 * keys. Tries all keys, and compares in constant time, so that the duration reveals nothing.
 */
export async function verify(
  keys: readonly HmacKey[],
  prefix: string,
  body: Uint8Array,
  digest: string,
): Promise<boolean> {
  if (!DIGEST.test(digest)) return false;
  const signature = bytesOfHex(digest);
  const head = encodeUtf8(prefix);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  const results = await Promise.all(keys.map((key) => subtle().verify("HMAC", key, signature, signed)));
  return results.includes(true);
}

/** Reads character codes, because `parseInt` for each pair of digits takes ten times as long. */
function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  const digit = (at: number) => {
    const code = hex.charCodeAt(at);
    return code < 58 ? code - 48 : code - 87;
  };
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = digit(2 * i) * 16 + digit(2 * i + 1);
  return bytes;
}
