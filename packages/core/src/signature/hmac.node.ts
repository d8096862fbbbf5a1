import crypto, { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import type { HmacFormat, SignedText } from "../providers/signature-format.js";
import { createPace, needsPace } from "../values/pace.js";

type Algorithm = HmacFormat["algorithm"];

const BLOCK = 64;
const DIGEST_BYTES = 32;

/** A prepared secret, so that a delivery does not have to prepare it. */
export interface HmacKey {
  readonly algorithm: Algorithm;
  readonly object: KeyObject;
  /** The key padded for the inner hash. Source: RFC 2104, section 2. */
  readonly inner: Buffer;
  /** The key padded for the outer hash, followed by room for the inner digest. */
  readonly outer: Buffer;
}

/** A secret that is a text stands for its UTF-8 bytes. */
export function prepareKey(secret: string | Uint8Array, algorithm: Algorithm = "sha256"): HmacKey {
  const bytes = typeof secret === "string" ? Buffer.from(secret, "utf8") : secret;
  const block = Buffer.alloc(BLOCK);
  block.set(bytes.length > BLOCK ? crypto.createHash(algorithm).update(bytes).digest() : bytes);
  return {
    algorithm,
    object: createSecretKey(bytes),
    inner: Buffer.from(block.map((byte) => byte ^ 0x36)),
    outer: Buffer.concat([block.map((byte) => byte ^ 0x5c), Buffer.alloc(DIGEST_BYTES)]),
  };
}

/** Hashes in one call. Node has this function since 20.12. Other runtimes may lack it. */
const { hash } = crypto as Partial<typeof crypto>;

// Scratch buffers. All calls of `verifyNow` can share them because it is synchronous.
const SCRATCH = {
  sha256: { expected: Buffer.alloc(64), received: Buffer.alloc(64) },
  sha1: { expected: Buffer.alloc(40), received: Buffer.alloc(40) },
};
const signed = Buffer.alloc(32 * 1024);

/**
 * Returns whether a digest of the signature is the HMAC of its prefix, the body and its suffix under one of
 * the keys. Tries all keys and digests, and compares in constant time, so that the duration reveals nothing.
 * An HMAC hashes the key first, so the whole body is hashed for each key; beyond 1 MiB this takes several
 * turns.
 */
export function verify(
  keys: readonly HmacKey[],
  signature: SignedText,
  body: Uint8Array,
): boolean | Promise<boolean> {
  return keys.length > 1 && needsPace(keys.length * body.length)
    ? verifyInTurns(keys, signature, body)
    : verifyNow(keys, signature, body);
}

async function verifyInTurns(
  keys: readonly HmacKey[],
  signature: SignedText,
  body: Uint8Array,
): Promise<boolean> {
  const pace = createPace();
  let matches = false;
  for (const key of keys) {
    await pace(body.length);
    matches = verifyNow([key], signature, body) || matches;
  }
  return matches;
}

/** All keys have the same algorithm. */
function verifyNow(
  keys: readonly HmacKey[],
  { prefix, suffix = "", digest }: SignedText,
  body: Uint8Array,
): boolean {
  const algorithm = keys[0]?.algorithm ?? "sha256";
  const { expected, received } = SCRATCH[algorithm];
  // A UTF-16 unit takes at most three bytes of UTF-8.
  const room = BLOCK + 3 * (prefix.length + suffix.length) + body.length;
  const inOneCall = hash !== undefined && algorithm === "sha256" && room <= signed.length;
  let length = BLOCK;
  if (inOneCall) {
    length += signed.write(prefix, BLOCK, "utf8");
    signed.set(body, length);
    length += body.length;
    if (suffix !== "") length += signed.write(suffix, length, "utf8");
  }
  let matches = 0;
  for (const { object, inner, outer } of keys) {
    if (inOneCall) {
      // An HMAC is two hashes. Two calls of `hash` take half the time of an `Hmac` object.
      signed.set(inner);
      outer.write(hash("sha256", signed.subarray(0, length), "binary"), BLOCK, "latin1");
      expected.write(hash("sha256", outer, "hex"), "latin1");
    } else {
      const hmac = createHmac(algorithm, object).update(prefix).update(body).update(suffix);
      expected.write(hmac.digest("hex"), "latin1");
    }
    for (const each of typeof digest === "string" ? [digest] : digest) {
      // Written as UTF-8: latin1 keeps only the low byte of a character, so "İ" (U+0130) would pass as "0".
      const isWhole = each.length === received.length && received.write(each, "utf8") === received.length;
      matches |= Number(isWhole && timingSafeEqual(expected, received));
    }
  }
  return matches === 1;
}

/** Returns integers of 32 bits that nobody can guess. */
export function randomIntegers(count: number): Int32Array {
  return crypto.webcrypto.getRandomValues(new Int32Array(count));
}
