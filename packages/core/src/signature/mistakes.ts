import type { DeliveryHeaders } from "../delivery.js";
import type { SignatureFormat, SignatureParts } from "../provider.js";
import { rewriteJson } from "./json-spellings.js";

/** A change to the secret, the body or the signed prefix under which the signature would fit. */
export interface Variant {
  readonly secret: string;
  readonly body: Uint8Array;
  readonly prefix: string;
  /** The mistake in its particulars; default: that of the candidate. */
  readonly mistake?: string;
}

/** A usual mistake that shows in the signature: it was made if one of the variants fits. */
export interface Candidate {
  readonly name: string;
  /** The mistake, in a clause. */
  readonly mistake: string;
  /** How to correct it, as an instruction. */
  readonly fix: string;
  variants(signature: SignatureParts, suspect: Suspect): Iterable<Variant>;
}

/** A delivery whose signature does not fit, and the secrets that it might have been signed with. */
export interface Suspect {
  readonly secrets: readonly string[];
  /** The secrets of other providers. */
  readonly otherSecrets?: readonly string[];
  readonly headers: DeliveryHeaders;
  readonly body: Uint8Array;
}

const SPACES = [
  ["line break", "\n"],
  ["Windows line break", "\r\n"],
  ["space", " "],
  ["tab", "\t"],
] as const;

/**
 * Returns the mistakes that can be told by trying: first those with the secret, then those with the body.
 *
 * @param parsedMax The largest body in bytes that is parsed.
 */
export function candidatesFor({ signs }: SignatureFormat, parsedMax: number): readonly Candidate[] {
  return [
    {
      name: "secret-other",
      mistake: "a delivery was signed with another provider's secret",
      fix: "check whether the secrets are exchanged",
      variants: ({ prefix }, { otherSecrets = [], body }) =>
        otherSecrets.map((secret) => ({ secret, body, prefix })),
    },
    {
      name: "secret-white-space",
      mistake: "a delivery was signed with the secret and white space around it",
      fix: "remove the white space here, or register the subscription without it",
      variants: withSecrets(function* (secret) {
        const trimmed = secret.trim();
        if (trimmed !== secret)
          yield [trimmed, "a delivery was signed with the secret without the white space around it"];
        for (const [name, space] of SPACES) {
          yield [secret + space, `a delivery was signed with the secret and a ${name} after it`];
          yield [space + secret, `a delivery was signed with the secret and a ${name} before it`];
        }
      }),
    },
    {
      name: "secret-quotes",
      mistake: "a delivery was signed with the secret in quotes",
      fix: "remove the quotes here, or register the subscription without them",
      variants: withSecrets(function* (secret) {
        const unquoted = /^(["'])(.+)\1$/.exec(secret)?.[2];
        if (unquoted) yield [unquoted, "a delivery was signed with the secret without the quotes around it"];
        yield [`"${secret}"`, "a delivery was signed with the secret in double quotes"];
        yield [`'${secret}'`, "a delivery was signed with the secret in single quotes"];
      }),
    },
    {
      name: "body-line-break-added",
      mistake: "a line break was added to the end of the body after signing",
      fix: "send the bytes unchanged: editors and echo add a line break",
      variants: withBody((text) => [text.replace(/\r?\n$/, "")]),
    },
    {
      name: "body-end-lost",
      mistake: "the body lost a line break at its end after signing",
      fix: "keep the bytes unchanged: $(…) of a shell and some editors remove it",
      variants: withBody((text) => [`${text}\n`, `${text}\r\n`]),
    },
    {
      name: "body-white-space",
      mistake: "white space or a byte order mark was added around the body after signing",
      fix: "keep the bytes unchanged",
      variants: withBody((text) => [text.trim()]),
    },
    {
      name: "body-line-ends",
      mistake: "the line ends in the body were changed after signing, as between Windows and other systems",
      fix: "keep the bytes unchanged",
      variants: withBody((text) => [text.replaceAll("\r\n", "\n"), text.replace(/\r?\n/g, "\r\n")]),
    },
    {
      name: "body-serialized-again",
      mistake: "the body was parsed and serialized again after signing",
      fix: "pass on the bytes as they came: a body parser, a proxy or jq changed them",
      variants: withBody((text) => serializeAgain(text, parsedMax)),
    },
    {
      name: "time-not-signed",
      mistake: "the signature is over the body alone",
      fix: `sign ${signs}`,
      variants: (_signature, { secrets, body }) => secrets.map((secret) => ({ secret, body, prefix: "" })),
    },
  ];
}

function withSecrets(
  vary: (secret: string) => Iterable<readonly [secret: string, mistake: string]>,
): Candidate["variants"] {
  return function* ({ prefix }, { secrets, body }) {
    for (const original of secrets) {
      for (const [secret, mistake] of vary(original)) yield { secret, body, prefix, mistake };
    }
  };
}

function withBody(vary: (text: string) => Iterable<string>): Candidate["variants"] {
  return function* ({ prefix }, { secrets, body }) {
    const text = decode(body);
    if (text === undefined) return;
    for (const variant of vary(text)) {
      if (variant === text) continue;
      const bytes = encoder.encode(variant);
      for (const secret of secrets) yield { secret, body: bytes, prefix };
    }
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the text of a body in UTF-8; `undefined` if it is not UTF-8. */
export function decode(body: Uint8Array): string | undefined {
  try {
    return decoder.decode(body);
  } catch {
    return undefined;
  }
}

/** Returns JSON as other programs would have written it, indented or with a line break at the end. */
function serializeAgain(text: string, parsedMax: number): readonly string[] {
  if (text.length > parsedMax) return [];
  try {
    const variants = rewriteJson(text);
    const [compact] = variants;
    if (compact === undefined) return [];
    const value: unknown = JSON.parse(compact);
    const indented = [2, 4, "\t"].map((indent) => JSON.stringify(value, undefined, indent));
    return [...variants, ...indented].flatMap((json) => [json, `${json}\n`]);
  } catch {
    // JSON that is nested deeply enough overflows the stack.
    return [];
  }
}
