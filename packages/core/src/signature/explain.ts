import { prepareKey, verify } from "#hmac";
import type { DeliveryHeaders } from "../delivery.js";
import type { Provider, SignatureFormat, SignatureParts } from "../provider.js";
import { type Candidate, candidatesFor, decode, type Suspect, type Variant } from "./mistakes.js";

/** One of the usual mistakes, looked for. */
export interface Mistake {
  /** Stable, such as `secret-white-space`. */
  readonly name: string;
  /** The mistake, in a clause. */
  readonly mistake: string;
  /** How to correct it, as an instruction. */
  readonly fix: string;
  /** `undefined` if it could not be looked for. */
  readonly found: boolean | undefined;
}

/** Limits on the work of one search, in bytes. */
export interface Effort {
  /** How much is hashed for one mistake. Default 32 MiB: hashing blocks the event loop. */
  readonly hashed?: number;
  /** The largest body that is parsed. Default 256 KiB: nobody has vouched for the body. */
  readonly parsed?: number;
}

const HASHED_MAX = 32 * 1024 * 1024;
const PARSED_MAX = 256 * 1024;

/** Returns every usual mistake with whether this delivery shows it. */
export async function findMistakes(
  provider: Provider,
  others: readonly Provider[],
  suspect: Suspect,
  effort: Effort = {},
): Promise<readonly Mistake[]> {
  const mistakes = headerMistakes(provider, others, suspect.headers);
  const signature = provider.parseSignature(suspect.headers);
  const isText = decode(suspect.body) !== undefined;
  let isBodyExplained = false;
  for (const candidate of candidatesFor(provider.signatureFormat, effort.parsed ?? PARSED_MAX)) {
    const { name, mistake, fix } = candidate;
    const isOfBody = name.startsWith("body-");
    // One change to the body can contain another, so the first one that fits ends that search.
    const isSkipped = isOfBody && (isBodyExplained || !isText);
    let found: boolean | undefined;
    let match: Variant | undefined;
    if (
      typeof signature !== "string" &&
      !isSkipped &&
      (name !== "secret-other" || suspect.otherSecrets?.length)
    ) {
      const fits = createFitter(signature, effort.hashed ?? HASHED_MAX);
      match = await firstFit(candidate, signature, suspect, fits);
      found = match !== undefined;
    }
    isBodyExplained ||= isOfBody && found === true;
    mistakes.push({ name, mistake: match?.mistake ?? mistake, fix, found });
  }
  return mistakes;
}

/** Returns the first usual mistake that makes the signature fit, and its fix, in two sentences. */
export async function explainMismatch(
  format: SignatureFormat,
  signature: SignatureParts,
  suspect: Suspect,
): Promise<string | undefined> {
  const fits = createFitter(signature, HASHED_MAX);
  for (const candidate of candidatesFor(format, PARSED_MAX)) {
    const match = await firstFit(candidate, signature, suspect, fits);
    if (match) {
      const { fix } = candidate;
      return `${match.mistake ?? candidate.mistake}. ${fix.charAt(0).toUpperCase()}${fix.slice(1)}.`;
    }
  }
  return undefined;
}

type Fits = (variant: Variant) => Promise<boolean>;

/** Returns a check of variants that gives up once it has hashed so many bytes. */
function createFitter({ digest }: SignatureParts, hashedMax: number): Fits {
  let hashed = 0;
  return async ({ secret, prefix, body }) => {
    hashed += body.byteLength;
    return hashed <= hashedMax && verify([await prepareKey(secret)], prefix, body, digest);
  };
}

async function firstFit(
  candidate: Candidate,
  signature: SignatureParts,
  suspect: Suspect,
  fits: Fits,
): Promise<Variant | undefined> {
  for (const variant of candidate.variants(signature, suspect)) if (await fits(variant)) return variant;
  return undefined;
}

/** Returns the mistakes that show in the headers alone. */
function headerMistakes(
  provider: Provider,
  others: readonly Provider[],
  headers: DeliveryHeaders,
): Mistake[] {
  const { title, signatureFormat } = provider;
  const other = provider.matches(headers) ? undefined : others.find((each) => each.matches(headers));
  const { headers: names, timestamp } = signatureFormat;
  const digest = headers.get(names[0].toLowerCase()) ?? "";
  const time = headers.get(timestamp.header) ?? "";
  const digits = timestamp.pattern.exec(time)?.[1];
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
      found: other === undefined && (digest === "" || time === ""),
    },
    {
      name: "header-cut-off",
      mistake: "the signature header is cut off, or something was added to it",
      fix: `it looks like ${signatureFormat.example}`,
      found: digest === "" ? undefined : !signatureFormat.complete.test(digest),
    },
    {
      name: "time-unit",
      mistake: `${timestamp.name} is not in ${timestamp.unit}`,
      fix: `send Unix time in ${timestamp.unit}`,
      found:
        digits === undefined ? undefined : isMilliseconds(digits) !== (timestamp.unit === "milliseconds"),
    },
  ];
}

/** Unix time in milliseconds has had 12 digits or more since 1973. Seconds reach that in 3,000 years. */
function isMilliseconds(digits: string): boolean {
  return digits.length >= 12;
}

const HOUR_MS = 60 * 60 * 1000;

/**
 * Returns why a time is out of tolerance, in a sentence.
 *
 * @param age In seconds, as `tolerance`; negative if in the future.
 * @param now Unix time in milliseconds.
 */
export function explainTime(age: number, tolerance: number, now: number): string {
  const signedAt = now - age * 1000;
  if (Math.abs(now - signedAt * 1000) < HOUR_MS) {
    return "a genuine delivery has its time in seconds instead of milliseconds.";
  }
  const off = `${Math.round(Math.abs(age))} seconds ${age < 0 ? "in the future" : "ago"} by this clock`;
  return `a genuine delivery was signed ${off}; ${tolerance} are tolerated. Check this clock, and whether something held the delivery up.`;
}
