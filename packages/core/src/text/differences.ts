/**
 * A run of received bytes, and the bytes that the signature fits in its place. All numbers are bytes. A
 * length of 0 means that bytes are missing on that side.
 */
export interface Difference {
  readonly at: number;
  readonly length: number;
  readonly fittingAt: number;
  readonly fittingLength: number;
}

/** After so many differences, the rest of both texts counts as one. */
const DIFFERENCES_MAX = 10_000;
/** How far apart two texts may be before they agree again, in bytes of both together. */
const WINDOW = 64;
/** So many bytes in a row must agree, because one byte agrees by chance. */
const RUN = 2;

/**
 * Returns where the received bytes differ from the fitting ones, in order. Every difference is real, but
 * there may be a way to describe them with fewer.
 */
export function differencesBetween(received: Uint8Array, fitting: Uint8Array): readonly Difference[] {
  const differences: Difference[] = [];
  let at = 0;
  let fittingAt = 0;
  for (;;) {
    while (at < received.length && fittingAt < fitting.length && received[at] === fitting[fittingAt]) {
      at++;
      fittingAt++;
    }
    const rest = { at, length: received.length - at, fittingAt, fittingLength: fitting.length - fittingAt };
    if (rest.length === 0 && rest.fittingLength === 0) return differences;
    const agreed =
      differences.length + 1 < DIFFERENCES_MAX ? nextAgreement(received, at, fitting, fittingAt) : undefined;
    if (agreed === undefined) return [...differences, withoutSharedEnd(rest, received, fitting)];
    const [length, fittingLength] = agreed;
    differences.push({ at, length, fittingAt, fittingLength });
    at += length;
    fittingAt += fittingLength;
  }
}

/** Returns how many bytes of each text to skip until they agree again; `undefined` if they do not soon. */
function nextAgreement(
  received: Uint8Array,
  at: number,
  fitting: Uint8Array,
  fittingAt: number,
): readonly [length: number, fittingLength: number] | undefined {
  for (let skipped = 1; skipped <= WINDOW; skipped++) {
    for (let length = 0; length <= skipped; length++) {
      if (agrees(received, at + length, fitting, fittingAt + skipped - length))
        return [length, skipped - length];
    }
  }
  return undefined;
}

/** Returns whether the next bytes agree, or both texts end within them. */
function agrees(received: Uint8Array, at: number, fitting: Uint8Array, fittingAt: number): boolean {
  if (at > received.length || fittingAt > fitting.length) return false;
  for (let i = 0; i < RUN; i++) {
    if (received[at + i] !== fitting[fittingAt + i]) return false;
    if (received[at + i] === undefined) return true;
  }
  return true;
}

function withoutSharedEnd(rest: Difference, received: Uint8Array, fitting: Uint8Array): Difference {
  let shared = 0;
  const most = Math.min(rest.length, rest.fittingLength);
  while (shared < most && received.at(-1 - shared) === fitting.at(-1 - shared)) shared++;
  return { ...rest, length: rest.length - shared, fittingLength: rest.fittingLength - shared };
}
