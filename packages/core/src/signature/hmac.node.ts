import crypto, { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { createPace, needsPace } from "../values/pace.js";

const BLOCK = 64;
const DIGEST_BYTES = 32;

/** A prepared secret, so that a delivery does not have to prepare it. */
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

/** Hashes in one call. Node has this function since 20.12. Other runtimes may lack it. */
const { hash } = crypto as Partial<typeof crypto>;

// Scratch buffers. All calls of `verifyNow` can share them because it is synchronous.
const expected = Buffer.alloc(2 * DIGEST_BYTES);
const received = Buffer.alloc(2 * DIGEST_BYTES);
const signed = Buffer.alloc(32 * 1024);

/**
 * Returns whether `digest` (lower-case hex) is the HMAC-SHA256 of `prefix` and `body` under one of the
 * keys. Tries all keys, and compares in constant time, so that the duration reveals nothing. An HMAC hashes
 * the key first, so the whole body is hashed for each key; beyond 1 MiB this takes several turns.
 */
export function verify(
  keys: readonly HmacKey[],
  prefix: string,
  body: Uint8Array,
  digest: string,
): boolean | Promise<boolean> {
  return keys.length > 1 && needsPace(keys.length * body.length)
    ? verifyInTurns(keys, prefix, body, digest)
    : verifyNow(keys, prefix, body, digest);
}

async function verifyInTurns(
  keys: readonly HmacKey[],
  ...signed: [prefix: string, body: Uint8Array, digest: string]
): Promise<boolean> {
  const pace = createPace();
  let matches = false;
  for (const key of keys) {
    await pace(signed[1].length);
    matches = verifyNow([key], ...signed) || matches;
  }
  return matches;
}

function verifyNow(keys: readonly HmacKey[], prefix: string, body: Uint8Array, digest: string): boolean {
  // Written as UTF-8: latin1 keeps only the low byte of a character, so "İ" (U+0130) would pass as "0" (U+0030).
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
      // An HMAC is two hashes. Two calls of `hash` take half the time of an `Hmac` object.
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
