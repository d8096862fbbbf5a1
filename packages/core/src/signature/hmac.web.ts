import type { webcrypto } from "node:crypto";
import { encodeUtf8, nodeModule } from "../text/utf8.js";
import { createPace, needsPace } from "../values/pace.js";

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
 * keys. Tries all keys, and compares in constant time, so that the duration reveals nothing. Some runtimes
 * copy the body for each pending call, so a large body is tried with one key after another.
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
  const matchesKey = (key: HmacKey) => subtle().verify("HMAC", key, signature, signed);
  if (!needsPace(keys.length * signed.length)) {
    return (await Promise.all(keys.map(matchesKey))).includes(true);
  }
  const pace = createPace();
  let matches = false;
  for (const key of keys) {
    await pace(signed.length);
    matches = (await matchesKey(key)) || matches;
  }
  return matches;
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
