import crypto, { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";

const BLOCK = 64;
const DIGEST_BYTES = 32;

/** A secret prepared once, so that no delivery pays for it. */
export interface HmacKey {
  readonly object: KeyObject;
  /** The key padded for the inner hash. Source: RFC 2104, section 2. */
  readonly inner: Buffer;
  /** The key padded for the outer hash, followed by room for the inner digest. */
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

/** Hashes in one call. Node has it since 20.12; other runtimes may lack it. */
const { hash } = crypto as Partial<typeof crypto>;

// Scratch buffers. Sharing them is safe because `verify` never yields.
const expected = Buffer.alloc(2 * DIGEST_BYTES);
const received = Buffer.alloc(2 * DIGEST_BYTES);
const signed = Buffer.alloc(32 * 1024);

/**
 * Returns whether `digest` (lower-case hex) is the HMAC-SHA256 of `prefix` and `body` under one of the
 * keys. Tries every key even after one fits, and compares in constant time.
 */
export function verify(keys: readonly HmacKey[], prefix: string, body: Uint8Array, digest: string): boolean {
  // Written as UTF-8: as latin1, another character with the same low bits would pass for a digit.
  if (digest.length !== received.length || received.write(digest, "utf8") !== received.length) return false;
  // A UTF-16 unit takes at most three bytes of UTF-8.
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
      // HMAC is two hashes. Computed so, it takes half the time of an Hmac object.
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
