import crypto, { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";

const BLOCK = 64;
const DIGEST_BYTES = 32;

/** A secret made ready once, so that no delivery pays for it. */
export interface HmacKey {
  readonly object: KeyObject;
  /** The key as the inner hash begins with it. Source: RFC 2104, section 2. */
  readonly inner: Buffer;
  /** The key as the outer hash begins with it, and room for the inner digest. */
  readonly outer: Buffer;
}

export function prepareKey(secret: string): HmacKey {
  const bytes = Buffer.from(secret, "utf8");
  const block = Buffer.alloc(BLOCK);
  block.set(bytes.length > BLOCK ? crypto.createHash("sha256").update(bytes).digest() : bytes);
  return {
    object: createSecretKey(bytes),
    inner: Buffer.from(block.map((byte) => byte ^ 0x36)),
    outer: Buffer.concat([block.map((byte) => byte ^ 0x5c), Buffer.alloc(DIGEST_BYTES)]),
  };
}

/** Hashes in one call, which Node has since 20.12, and other runtimes may not have. */
const { hash } = crypto as Partial<typeof crypto>;

// Scratch space, safe to share because `verify` never yields.
const expected = Buffer.alloc(2 * DIGEST_BYTES);
const received = Buffer.alloc(2 * DIGEST_BYTES);
const signed = Buffer.alloc(32 * 1024);

/**
 * Whether `digest` (lower-case hex) is the HMAC-SHA256 of `prefix` and `body` under one of the keys.
 * Every key is tried whatever the others gave, and compared in constant time.
 */
export function verify(keys: readonly HmacKey[], prefix: string, body: Uint8Array, digest: string): boolean {
  // As UTF-8, so that no other character passes for the digit that it shares its last bits with.
  if (digest.length !== received.length || received.write(digest, "utf8") !== received.length) return false;
  // A character takes three bytes of UTF-8 at the most.
  const inOneCall = hash !== undefined && BLOCK + 3 * prefix.length + body.length <= signed.length;
  let length = BLOCK;
  if (inOneCall) {
    length += signed.write(prefix, BLOCK, "utf8");
    signed.set(body, length);
    length += body.length;
  }
  let matches = 0;
  for (const { object, inner, outer } of keys) {
    if (inOneCall) {
      // Two hashes are the HMAC, and cost half as much as an Hmac object.
      signed.set(inner);
      outer.write(hash("sha256", signed.subarray(0, length), "binary"), BLOCK, "latin1");
      expected.write(hash("sha256", outer, "hex"), "latin1");
    } else {
      expected.write(createHmac("sha256", object).update(prefix).update(body).digest("hex"), "latin1");
    }
    matches |= Number(timingSafeEqual(expected, received));
  }
  return matches === 1;
}
