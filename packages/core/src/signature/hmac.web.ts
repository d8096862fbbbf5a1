import type { webcrypto } from "node:crypto";
import type { HmacFormat, SignedText } from "../providers/signature-format.js";
import { bytesOfHex } from "../text/bytes.js";
import { encodeUtf8, nodeModule } from "../text/utf8.js";
import { createPace, needsPace } from "../values/pace.js";

/** A prepared secret, so that a delivery does not have to prepare it. */
export type HmacKey = webcrypto.CryptoKey;

/** Found at each use: in Jest's jsdom environment `crypto` has no `subtle`, and an import must not fail. */
const subtle = () => crypto.subtle ?? nodeModule("node:crypto").webcrypto.subtle;

const HASHES = { sha256: "SHA-256", sha1: "SHA-1" };

/** A secret that is a text stands for its UTF-8 bytes. */
export async function prepareKey(
  secret: string | Uint8Array,
  algorithm: HmacFormat["algorithm"] = "sha256",
): Promise<HmacKey> {
  // A copy, because WebCrypto refuses shared memory, which these bytes may be for all that the compiler knows.
  const raw = typeof secret === "string" ? encodeUtf8(secret) : new Uint8Array(secret);
  return subtle().importKey("raw", raw, { name: "HMAC", hash: HASHES[algorithm] }, false, ["sign"]);
}

const DIGEST = /^(?:[0-9a-f]{2})+$/;

/**
 * Returns whether a digest of the signature is the HMAC of its prefix, the body and its suffix under one of
 * the keys. Tries all keys and digests, and compares in constant time, so that the duration reveals nothing.
 * Some runtimes copy the body for each pending call, so a large body is tried with one key after another.
 */
export async function verify(
  keys: readonly HmacKey[],
  { prefix, suffix = "", digest }: SignedText,
  body: Uint8Array,
): Promise<boolean> {
  const digests = [digest]
    .flat()
    .filter((each) => DIGEST.test(each))
    .map(bytesOfHex);
  const [head, tail] = [encodeUtf8(prefix), encodeUtf8(suffix)];
  const signed = new Uint8Array(head.length + body.length + tail.length);
  signed.set(head);
  signed.set(body, head.length);
  signed.set(tail, head.length + body.length);
  // Not `subtle.verify`, which would hash the body again for each digest in the header.
  const matchesKey = async (key: HmacKey) => {
    const expected = new Uint8Array(await subtle().sign("HMAC", key, signed));
    return digests.map((received) => isEqual(expected, received)).includes(true);
  };
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

/** Compares all bytes, so that the duration does not reveal where the first difference is. */
function isEqual(expected: Uint8Array, received: Uint8Array): boolean {
  if (expected.length !== received.length) return false;
  let difference = 0;
  for (const [at, byte] of expected.entries()) difference |= byte ^ (received[at] as number);
  return difference === 0;
}

/** Returns integers of 32 bits that nobody can guess. */
export function randomIntegers(count: number): Int32Array {
  return crypto.getRandomValues(new Int32Array(count));
}
