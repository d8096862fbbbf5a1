import { createHmac, timingSafeEqual } from "node:crypto";
import type { DeliveryHeaders, SignatureParts } from "@crowdhook/core";
import { rewritten } from "@crowdhook/core/inspect";
import { PROVIDERS, type ProviderName, providerOfHeaders } from "./providers.js";

/** One of the mistakes that people make, looked for. */
export interface Cause {
  readonly name: string;
  /** What is the matter if it is found, and how to mend it. */
  readonly what: string;
  /** `undefined` if it could not be looked for. */
  readonly found: boolean | undefined;
}

interface Suspect {
  readonly provider: ProviderName;
  readonly headers: DeliveryHeaders;
  readonly body: Uint8Array;
  readonly secrets: readonly string[];
  /** Of the other providers. */
  readonly otherSecrets: readonly string[];
}

export function fits(
  secret: string,
  { prefix, digest }: Pick<SignatureParts, "prefix" | "digest">,
  body: Uint8Array,
): boolean {
  const computed = createHmac("sha256", secret).update(prefix).update(body).digest();
  return timingSafeEqual(computed, Buffer.from(digest, "hex"));
}

/** Why a signature does not fit: the usual mistakes, each with whether it was made. */
export function causes(suspect: Suspect): readonly Cause[] {
  const { provider, headers, body, secrets, otherSecrets } = suspect;
  const { title, provider: dialect } = PROVIDERS[provider];
  const others = providerOfHeaders(headers);
  const signature = headers.get(NAMES[provider].signature) ?? "";
  const time = headers.get(NAMES[provider].time) ?? "";
  const isForeign = others !== undefined && others !== provider;
  const parts = dialect.parseSignature(headers);

  /** Whether any of these would have been accepted. */
  const anyFits = (
    ...variants: readonly (readonly [secret: string, body?: Uint8Array | undefined, prefix?: string])[]
  ) =>
    typeof parts === "string"
      ? undefined
      : variants.some(([secret, bytes = body, prefix = parts.prefix]) =>
          fits(secret, { ...parts, prefix }, bytes),
        );
  const withSecret = (vary: (secret: string) => readonly string[]) =>
    anyFits(...secrets.flatMap(vary).map((secret) => [secret] as const));
  const text = textOf(body);
  // What one change explains is not looked for further: some changes contain others.
  let isExplained = false;
  const withBody = (vary: (text: string) => readonly string[]) => {
    if (text === undefined || isExplained) return undefined;
    const variants = vary(text).filter((variant) => variant !== text);
    const found = anyFits(
      ...variants.flatMap((variant) => secrets.map((secret) => [secret, Buffer.from(variant)] as const)),
    );
    isExplained = found === true;
    return found;
  };

  return [
    {
      name: "wrong-provider",
      what: isForeign
        ? `the headers are ${PROVIDERS[others].title}'s, not ${title}'s: take --provider ${others}`
        : `the headers are another provider's, not ${title}'s`,
      found: isForeign,
    },
    {
      name: "header-missing",
      what: `${NAMES[provider].all} ${NAMES[provider].isOne ? "is" : "are"} missing: ${NAMES[provider].absence}`,
      found: !isForeign && (!signature || !time),
    },
    {
      name: "header-cut-off",
      what: `the signature header is cut off, or something was added to it: it looks like ${NAMES[provider].form}`,
      found: signature ? !NAMES[provider].whole.test(signature) : undefined,
    },
    {
      name: "time-unit",
      what: NAMES[provider].unit,
      found: time === "" ? undefined : isOtherUnit(provider, timeIn(time)),
    },
    {
      name: "secret-other",
      what: "it is signed with the other provider's secret: are the two exchanged?",
      found:
        otherSecrets.length === 0 ? undefined : anyFits(...otherSecrets.map((secret) => [secret] as const)),
    },
    {
      name: "secret-white-space",
      what: "the secret has white space around it, here or where the subscription was made: take it away",
      found: withSecret((secret) =>
        [secret.trim(), ...SPACES.flatMap((space) => [secret + space, space + secret])].filter(
          (variant) => variant !== secret,
        ),
      ),
    },
    {
      name: "secret-quotes",
      what: "the secret has quotes around it, here or where the subscription was made: take them away",
      found: withSecret((secret) => {
        const unquoted = /^(["'])(.+)\1$/.exec(secret)?.[2];
        return [...(unquoted ? [unquoted] : []), `"${secret}"`, `'${secret}'`];
      }),
    },
    {
      name: "body-line-break-added",
      what: "the body ends with a line break that was not signed: editors and echo add one",
      found: withBody((text) => [text.replace(/\r?\n$/, "")]),
    },
    {
      name: "body-end-lost",
      what: "the body has lost the line break at its end: $(…) of a shell and some editors cut it off",
      found: withBody((text) => [`${text}\n`, `${text}\r\n`]),
    },
    {
      name: "body-white-space",
      what: "the body has white space or a byte order mark around it that was not signed",
      found: withBody((text) => [text.trim()]),
    },
    {
      name: "body-line-ends",
      what: "the line ends in the body were changed, as between Windows and others: copy it as it is",
      found: withBody((text) => [text.replaceAll("\r\n", "\n"), text.replace(/\r?\n/g, "\r\n")]),
    },
    {
      name: "body-serialized-anew",
      what: "the body was parsed and serialized anew: a body parser, a proxy or jq did it. Keep the bytes as they came",
      found: withBody(serialized),
    },
    {
      name: "time-not-signed",
      what: `the signature is over the body alone: what is signed is ${NAMES[provider].signed}`,
      found: anyFits(...secrets.map((secret) => [secret, body, ""] as const)),
    },
  ];
}

const NAMES = {
  toloka: {
    signature: "toloka-signature",
    time: "toloka-signature",
    all: "the header Toloka-Signature",
    isOne: true,
    absence: "was the subscription made with a secret_key?",
    form: "{v=1, ts=946728000000, sign=609a…} with 64 digits after sign=",
    // A few digits fewer are genuine: Toloka drops zeros in front.
    whole: /^\{[^{}"']*sign=[0-9a-f]{56,64}[^{}"']*\}$/,
    unit: "its time, ts, is in seconds where milliseconds belong",
    signed: "the time, a dot, the version, a dot and the body",
  },
  prolific: {
    signature: "x-prolific-request-signature",
    time: "x-prolific-request-timestamp",
    all: "X-Prolific-Request-Signature and X-Prolific-Request-Timestamp, or one of them,",
    isOne: false,
    absence: "pass both on as they came",
    form: "the 44 characters of 32 bytes in base64, the last one =",
    whole: /^[A-Za-z0-9+/]{43}=$/,
    unit: "X-Prolific-Request-Timestamp is in milliseconds where seconds belong",
    signed: "the time and the body",
  },
} as const;

const SPACES = ["\n", "\r\n", " ", "\t"];

/** The digits of a time, alone or in Toloka's header. */
function timeIn(header: string): string {
  return /^\d+$/.test(header) ? header : (/\bts=(\d+)/.exec(header)?.[1] ?? "");
}

/** Milliseconds have had 12 digits or more since 1973, and seconds will have fewer for 3,000 years. */
function isOtherUnit(provider: ProviderName, digits: string): boolean | undefined {
  if (digits === "") return undefined;
  return provider === "toloka" ? digits.length < 12 : digits.length >= 12;
}

/** Larger bodies are not looked into: a stranger's must not keep `listen` busy. */
const LOOKED_INTO_MAX = 1024 * 1024;

function textOf(body: Uint8Array): string | undefined {
  if (body.byteLength > LOOKED_INTO_MAX) return undefined;
  const text = Buffer.from(body).toString();
  return Buffer.from(text).equals(body) ? text : undefined;
}

/** As others would have written it, those who indent among them. */
function serialized(text: string): readonly string[] {
  const variants = rewritten(text);
  const [compact] = variants;
  if (compact === undefined) return [];
  const indented = [2, 4, "\t"].map((indent) => JSON.stringify(JSON.parse(compact), undefined, indent));
  return [...variants, ...indented].flatMap((json) => [json, `${json}\n`]);
}
