import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";

/** A secret made ready once, so that no delivery pays for it. */
export type HmacKey = KeyObject;

export function prepareKey(secret: string): HmacKey {
  return createSecretKey(Buffer.from(secret, "utf8"));
}

const DIGEST = /^[0-9a-f]{64}$/;
// Scratch space, safe to share because `verify` never yields.
const expected = Buffer.alloc(64);
const received = Buffer.alloc(64);

/**
 * Whether `digest` (lower-case hex) is the HMAC-SHA256 of `prefix` and `body` under one of the keys.
 * Every key is tried whatever the others gave, and compared in constant time.
 */
export function verify(keys: readonly HmacKey[], prefix: string, body: Uint8Array, digest: string): boolean {
  if (!DIGEST.test(digest)) return false;
  received.write(digest, "latin1");
  let matches = 0;
  for (const key of keys) {
    const hmac = createHmac("sha256", key).update(prefix).update(body);
    expected.write(hmac.digest("hex"), "latin1");
    matches |= Number(timingSafeEqual(expected, received));
  }
  return matches === 1;
}
