import { prepareKey, verify } from "#hmac";
import type { DeliveryHeaders } from "../delivery.js";
import type { Provider } from "../provider.js";
import type { SignatureFormat, SignatureParts } from "../providers/signature-format.js";
import { decodeUtf8 } from "../text/utf8.js";
import { createPace } from "../values/pace.js";
import {
  type Candidate,
  candidatesFor,
  type MistakenProvider,
  type Suspect,
  type Variant,
} from "./mistakes.js";
import { InvalidSecretError, keyFor } from "./secrets.js";

/** A usual mistake, and whether the search found it. */
export interface Mistake {
  /** Stable, such as `secret-white-space`. */
  readonly name: string;
  /** The mistake, as a clause without a full stop. */
  readonly mistake: string;
  /** The fix, as an instruction or a question, without a capital letter and full stop. */
  readonly fix: string;
  /**
   * `false` also if the search gave up at a limit of `Effort`. `undefined` if there was no search: the
   * delivery or the secrets lack what it needs, or another mistake with the body was found.
   */
  readonly found: boolean | undefined;
}

/** Limits on the work of a search, because the body may come from an attacker. */
export interface Effort {
  /** The largest number of bytes to hash for one mistake. Default 32 MiB, which takes about 35 ms. */
  readonly hashed?: number;
  /** The longest body to parse, in UTF-16 units (as `length` of a string). Parsing blocks the event loop. Default 262,144. */
  readonly parsed?: number;
}

const HASHED_MAX = 32 * 1024 * 1024;
const PARSED_MAX = 256 * 1024;
/** Preparing a key takes as long as hashing so many bytes. */
const KEY_BYTES = 8 * 1024;

/**
 * Looks for all usual mistakes, and returns each with whether it was found.
 *
 * @param others The providers whose headers `suspect` may have instead.
 */
export async function findMistakes(
  provider: Provider,
  others: readonly Provider[],
  suspect: Suspect,
  effort: Effort = {},
): Promise<readonly Mistake[]> {
  const mistakes = headerMistakes(provider, others, suspect.headers);
  mistakes.push({ ...EMPTY, found: suspect.body.byteLength === 0 });
  const signature = provider.parseSignature(suspect.headers);
  const isText = decodeUtf8(suspect.body) !== undefined;
  let isBodyExplained = false;
  for (const candidate of candidatesFor(provider, effort.parsed ?? PARSED_MAX)) {
    const { name, about, mistake, fix } = candidate;
    // One change to the body can include another one, so the first match ends the search in the body.
    const isSkipped = about === "body" && (isBodyExplained || !isText);
    let found: boolean | undefined;
    let match: Variant | undefined;
    if (typeof signature !== "string" && !isSkipped && (candidate.isSearchable?.(suspect) ?? true)) {
      const fits = createFitter(provider, signature, effort.hashed ?? HASHED_MAX);
      const result = await firstFit(candidate, signature, suspect, fits);
      match = result === "gave up" ? undefined : result;
      found = match !== undefined;
    }
    isBodyExplained ||= about === "body" && found === true;
    mistakes.push({ name, mistake: match?.mistake ?? mistake, fix, found });
  }
  return mistakes;
}

const EMPTY = {
  name: "body-empty",
  mistake: "a delivery has an empty body",
  fix: "check whether other code reads the body first, or whether the host passes it elsewhere",
};

/** The usual mistake that explains why a signature does not fit. */
export interface Explanation {
  /** The name of the mistake, such as `secret-white-space`. */
  readonly name: string;
  /** The part of the signing that the mistake changed. */
  readonly about: "secret" | "body" | "time";
  /** The mistake and its fix: two sentences. */
  readonly reason: string;
  /** The body that the signature fits; the received one if the mistake is not about the body. */
  readonly body: Uint8Array;
}

/** Returns the first usual mistake that explains why the signature does not fit. */
export async function explainMismatch(
  provider: MistakenProvider,
  signature: SignatureParts,
  suspect: Suspect,
): Promise<Explanation | undefined> {
  const fits = createFitter(provider, signature, HASHED_MAX);
  for (const candidate of candidatesFor(provider, PARSED_MAX)) {
    const match = await firstFit(candidate, signature, suspect, fits);
    if (match === "gave up") break;
    if (match) {
      const { name, about, mistake, fix } = candidate;
      return { name, about, reason: sentences(match.mistake ?? mistake, fix), body: match.body };
    }
  }
  const { body } = suspect;
  if (body.byteLength > 0) return undefined;
  return { name: EMPTY.name, about: "body", reason: sentences(EMPTY.mistake, EMPTY.fix), body };
}

/** Headers after the first ones are not looked at: a sender chooses how many there are. */
const HEADERS_MAX = 100;

/** Returns why a signature is missing or malformed, and the fix: two sentences. */
export function explainHeaders(provider: Provider, headers: DeliveryHeaders): string {
  const other = otherSignature(provider, headers);
  if (other !== undefined && !provider.matches(headers)) {
    return `a delivery has the header ${other}, but not ${provider.signatureFormat.headers[0]}: it comes from another provider. Give each provider a path of its own.`;
  }
  const mistake = headerMistakes(provider, [], headers).find(({ found }) => found);
  if (mistake === undefined) {
    return `a signature header cannot be read. A complete header is ${provider.signatureFormat.example}.`;
  }
  return sentences(`a delivery was refused: ${mistake.mistake}`, mistake.fix);
}

/** Returns the name of another provider's signature header. */
function otherSignature({ signatureFormat }: Provider, headers: DeliveryHeaders): string | undefined {
  const { headers: names, aliases = [] } = signatureFormat;
  const own = new Set([names, ...aliases].flat().map((name) => name.toLowerCase()));
  let count = 0;
  for (const name of headers.keys?.() ?? []) {
    if (count++ === HEADERS_MAX) return undefined;
    if (/signature|hmac/i.test(name) && !own.has(name.toLowerCase()))
      return JSON.stringify(name.slice(0, 100));
  }
  return undefined;
}

/** Joins a clause and its fix to two sentences. */
function sentences(mistake: string, fix: string): string {
  const end = fix.endsWith("?") ? "" : ".";
  return `${mistake}. ${fix.charAt(0).toUpperCase()}${fix.slice(1)}${end}`;
}

type Fits = (variant: Variant) => Promise<boolean | "gave up">;

/** Returns a function that tells whether a variant fits. It gives up before it has hashed more than `hashedMax` bytes. */
function createFitter(provider: MistakenProvider, signature: SignatureParts, hashedMax: number): Fits {
  const pace = createPace();
  let hashed = 0;
  return async ({ secret, prefix, suffix = signature.suffix, body, isKeyText = false }) => {
    const cost = KEY_BYTES + body.byteLength;
    hashed += cost;
    if (hashed > hashedMax) return "gave up";
    await pace(cost);
    try {
      const key = isKeyText ? prepareKey(secret, provider.hmac?.algorithm) : keyFor(secret, provider);
      return await verify([await key], { ...signature, prefix, suffix }, body);
    } catch (error) {
      // A secret with a mistake in it often holds no key.
      if (error instanceof InvalidSecretError) return false;
      throw error;
    }
  };
}

async function firstFit(
  candidate: Candidate,
  signature: SignatureParts,
  suspect: Suspect,
  fits: Fits,
): Promise<Variant | "gave up" | undefined> {
  for (const variant of candidate.variants(signature, suspect)) {
    const fit = await fits(variant);
    if (fit === "gave up") return fit;
    if (fit) return variant;
  }
  return undefined;
}

/** Looks for the mistakes that the headers alone reveal. */
function headerMistakes(
  provider: Provider,
  others: readonly Provider[],
  headers: DeliveryHeaders,
): Mistake[] {
  const { title, signatureFormat } = provider;
  const other = provider.matches(headers) ? undefined : others.find((each) => each.matches(headers));
  const { timestamp } = signatureFormat;
  const names = sentNames(signatureFormat, headers);
  const [digest = "", ...rest] = names.map((name) => headers.get(name.toLowerCase()) ?? "");
  const digits = timestamp?.pattern.exec(timeHeader(timestamp.header, names, signatureFormat, headers))?.[1];
  return [
    {
      name: "wrong-provider",
      mistake: `the headers are ${other ? `${other.title}'s` : "another provider's"}, not ${title}'s`,
      fix: `pass ${other ? JSON.stringify(other.name) : "the other provider"} as the provider`,
      found: other !== undefined,
    },
    {
      name: "header-missing",
      mistake: `${names.join(" or ")} is missing`,
      fix: signatureFormat.whenMissing,
      found: other === undefined && (digest === "" || rest.includes("")),
    },
    {
      name: "header-cut-off",
      mistake: "the signature header is cut off, or something was added to it",
      fix: `pass on the whole header. A complete header is ${signatureFormat.example}`,
      found: digest === "" ? undefined : !signatureFormat.complete.test(digest),
    },
    ...(timestamp === undefined
      ? []
      : [
          {
            name: "time-unit",
            mistake: `${timestamp.name} is not in ${timestamp.unit}`,
            fix: `send Unix time in ${timestamp.unit}`,
            found:
              digits === undefined
                ? undefined
                : isMilliseconds(digits) !== (timestamp.unit === "milliseconds"),
          },
        ]),
  ];
}

/** Returns the names of the signature's headers: of those sets of names that a delivery may have, the one that it has. */
function sentNames({ headers, aliases = [] }: SignatureFormat, sent: DeliveryHeaders): readonly string[] {
  return [headers, ...aliases].find((names) => names.some((name) => sent.get(name.toLowerCase()))) ?? headers;
}

/** Returns the header with the time of signing, under its name in the set of names that a delivery has. */
function timeHeader(
  name: string,
  names: readonly string[],
  { headers }: SignatureFormat,
  sent: DeliveryHeaders,
): string {
  const at = headers.findIndex((each) => each.toLowerCase() === name);
  return sent.get((names[at] ?? name).toLowerCase()) ?? "";
}

/** Unix time in milliseconds has 12 digits or more since 1973. Unix time in seconds has 12 digits from the year 5138. */
function isMilliseconds(digits: string): boolean {
  return digits.length >= 12;
}

const HOUR_MS = 60 * 60 * 1000;

/**
 * Returns why a time is out of tolerance, and the fix.
 *
 * @param age Seconds since the signing; negative if it is in the future. `tolerance` is in seconds, too.
 * @param now Unix time in milliseconds.
 */
export function explainTime(age: number, tolerance: number, now: number): string {
  const signedAt = now - age * 1000;
  if (Math.abs(now - signedAt * 1000) < HOUR_MS) {
    return "a genuine delivery has its time in seconds instead of milliseconds. Sign with Unix time in milliseconds.";
  }
  const off = `${Math.round(Math.abs(age))} seconds ${age < 0 ? "in the future" : "ago"} by this clock`;
  return `a genuine delivery was signed ${off}; the tolerance is ${tolerance}. Check this clock, and whether a proxy or a queue delays deliveries.`;
}
