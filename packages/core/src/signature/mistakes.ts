import type { DeliveryHeaders } from "../delivery.js";
import type { Provider } from "../provider.js";
import type { SignatureParts } from "../providers/signature-format.js";
import { bytesOfBase64 } from "../text/bytes.js";
import { decodeUtf8, encodeUtf8 } from "../text/utf8.js";
import { rewriteJson } from "./json-spellings.js";

/** A secret, a body and a signed prefix, one of them changed as a mistake would change it. */
export interface Variant {
  readonly secret: string;
  readonly body: Uint8Array;
  readonly prefix: string;
  /** Default: the suffix of the signature. */
  readonly suffix?: string;
  /** Whether the bytes of the secret are the key, although the provider's secrets encode it. Default: false. */
  readonly isKeyText?: boolean;
  /** The mistake in detail, such as which white space. Default: the candidate's `mistake`. */
  readonly mistake?: string;
}

/** A usual mistake, to search for with the signature: if a variant fits, someone made this mistake. */
export interface Candidate {
  readonly name: string;
  /** The part of the signing that the mistake changes. */
  readonly about: "secret" | "body" | "time";
  /** The mistake, as a clause without a full stop. */
  readonly mistake: string;
  /** The fix, as an instruction without a capital letter and full stop. */
  readonly fix: string;
  variants(signature: SignatureParts, suspect: Suspect): Iterable<Variant>;
  /** Returns whether the suspect has what the search needs. Default: it does. */
  isSearchable?(suspect: Suspect): boolean;
}

/** A delivery whose signature does not fit, and the secrets that it should fit. */
export interface Suspect {
  readonly secrets: readonly string[];
  /** The secrets of other providers. */
  readonly otherSecrets?: readonly string[];
  readonly headers: DeliveryHeaders;
  readonly body: Uint8Array;
}

/** The parts of a provider with which the search works. */
export type MistakenProvider = Pick<Provider, "signatureFormat" | "hmac" | "secretVariable">;

const SPACES = [
  ["line break", "\n"],
  ["Windows line break", "\r\n"],
  ["space", " "],
  ["tab", "\t"],
] as const;

/**
 * Returns the mistakes to search for, in this order: mistakes with the secret, the body and the time.
 *
 * @param parsedMax The longest body to parse, in UTF-16 units.
 */
export function candidatesFor(
  { signatureFormat: { signs }, hmac }: MistakenProvider,
  parsedMax: number,
): readonly Candidate[] {
  return [
    {
      name: "secret-other",
      about: "secret",
      mistake: "a delivery was signed with another provider's secret",
      fix: "check whether the secrets of the two providers are swapped",
      isSearchable: ({ otherSecrets = [] }) => otherSecrets.length > 0,
      variants: ({ prefix }, { otherSecrets = [], body }) =>
        otherSecrets.map((secret) => ({ secret, body, prefix })),
    },
    {
      name: "secret-white-space",
      about: "secret",
      mistake: "a delivery was signed with the secret and white space around it",
      fix: "use the secret without the white space, here and in the subscription",
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
      about: "secret",
      mistake: "a delivery was signed with the secret in quotes",
      fix: "use the secret without the quotes, here and in the subscription",
      variants: withSecrets(function* (secret) {
        const unquoted = /^(["'])(.+)\1$/.exec(secret)?.[2];
        if (unquoted) yield [unquoted, "a delivery was signed with the secret without the quotes around it"];
        yield [`"${secret}"`, "a delivery was signed with the secret in double quotes"];
        yield [`'${secret}'`, "a delivery was signed with the secret in single quotes"];
      }),
    },
    ...(hmac?.keyOf === undefined
      ? []
      : [
          {
            name: "secret-not-decoded",
            about: "secret" as const,
            mistake: "a delivery was signed with the text of the secret instead of the key in it",
            fix: `decode the secret: it is ${hmac.secretIs}`,
            variants: ({ prefix }: SignatureParts, { secrets, body }: Suspect) =>
              secrets.map((secret) => ({ secret, body, prefix, isKeyText: true })),
          },
        ]),
    {
      name: "body-line-break-added",
      about: "body",
      mistake: "a line break was added to the end of the body after signing",
      fix: "send the bytes unchanged: editors and echo add a line break",
      variants: withBody((text) => [text.replace(/\r?\n$/, "")]),
    },
    {
      name: "body-end-lost",
      about: "body",
      mistake: "the body lost a line break at its end after signing",
      fix: "keep the bytes unchanged: $(…) of a shell and some editors remove it",
      variants: withBody((text) => [`${text}\n`, `${text}\r\n`]),
    },
    {
      name: "body-white-space",
      about: "body",
      mistake: "white space or a byte order mark was added around the body after signing",
      fix: "keep the bytes unchanged",
      variants: withBody((text) => [text.trim()]),
    },
    {
      name: "body-line-ends",
      about: "body",
      mistake: "the line ends in the body were changed after signing, such as from Windows to Unix",
      fix: "keep the bytes unchanged",
      variants: withBytes(function* (body) {
        if (!body.includes(LF)) return;
        for (const isWindows of [false, true]) {
          const changed = withLineEnds(body, isWindows);
          if (changed.byteLength !== body.byteLength) yield changed;
        }
      }),
    },
    {
      name: "body-base64",
      about: "body",
      mistake: "the body is still in base64",
      fix: "decode it first: hosts such as AWS Lambda set isBase64Encoded",
      variants: withBytes(decodeBase64),
    },
    {
      name: "body-serialized-again",
      about: "body",
      mistake: "the body was parsed and serialized again after signing",
      fix: "pass on the bytes unchanged: a body parser, a proxy or jq changed them",
      variants: withBody((text) => serializeAgain(text, parsedMax)),
    },
    {
      name: "time-not-signed",
      about: "time",
      mistake: "the signature covers only the body",
      fix: `sign ${signs}`,
      variants: ({ prefix, suffix = "" }, { secrets, body }) =>
        prefix === "" && suffix === ""
          ? []
          : secrets.map((secret) => ({ secret, body, prefix: "", suffix: "" })),
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

function withBytes(vary: (body: Uint8Array) => Iterable<Uint8Array>): Candidate["variants"] {
  return function* ({ prefix }, { secrets, body }) {
    for (const variant of vary(body)) for (const secret of secrets) yield { secret, body: variant, prefix };
  };
}

function withBody(vary: (text: string) => Iterable<string>): Candidate["variants"] {
  return withBytes(function* (body) {
    const text = decodeUtf8(body);
    if (text === undefined) return;
    for (const variant of vary(text)) if (variant !== text) yield encodeUtf8(variant);
  });
}

const CR = 0x0d;
const LF = 0x0a;

/** Works on bytes: replacing 5 MiB of line ends in a text takes more than a second. */
function withLineEnds(body: Uint8Array, isWindows: boolean): Uint8Array {
  const changed = new Uint8Array(2 * body.byteLength);
  let length = 0;
  for (let at = 0; at < body.byteLength; at++) {
    const byte = body[at] as number;
    if (byte === CR && body[at + 1] === LF) continue;
    if (byte === LF && isWindows) changed[length++] = CR;
    changed[length++] = byte;
  }
  return changed.subarray(0, length);
}

/** Returns the decoded body in a list; an empty list if it is not base64. */
function decodeBase64(body: Uint8Array): readonly Uint8Array[] {
  const text = decodeUtf8(body)?.trim();
  if (!text || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return [];
  try {
    return [bytesOfBase64(text)];
  } catch {
    return [];
  }
}

/**
 * Yields a JSON text as other programs would write it, also indented or with a line break at the end. One
 * at a time, because the search may stop before the large ones.
 */
function* serializeAgain(text: string, parsedMax: number): Iterable<string> {
  if (text.length > parsedMax) return;
  const variants = rewriteJson(text);
  for (const json of variants) yield* [json, `${json}\n`];
  const [compact] = variants;
  if (compact === undefined) return;
  const value: unknown = JSON.parse(compact);
  for (const indent of [2, 4, "\t"]) {
    const json = JSON.stringify(value, undefined, indent);
    yield* [json, `${json}\n`];
  }
}
