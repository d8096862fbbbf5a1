import { BOTH, PROLIFIC, type RunnableCheck, TOLOKA } from "../check.js";
import type { HeaderLines, Signature } from "../providers.js";
import type { Draft, Session } from "../session.js";

const DOCUMENTED = 'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Verifying"';
const TOLOKAS = 'Toloka\'s documentation, "Event authentication"';
const SIGNER = "Toloka's Java SDK, which prints a digest as a number";

const FORGED = "Who does not know the secret must not be able to have an event handled.";

/** With only the digest replaced. */
const digest = (change: (digest: string) => string): Draft => ({
  sends: ({ digest }) => ({ digest: change(digest) }),
});
/** Toloka's header, written by hand. */
const header = (write: (signature: Signature) => string): Draft => ({
  write: (signature) => [["Toloka-Signature", write(signature)]],
});
const named = ({ provider }: Session, change: (name: string) => string): Draft => ({
  write: (signature) => provider.write(signature).map(([name, value]) => [change(name), value]),
});

/** What is no signature at all. */
const UNREADABLE = [
  "garbage",
  "{",
  "{}",
  "{v=1}",
  "{v=1, ts=, sign=}",
  "{v, ts, sign}",
  '{"v":1,"ts":1,"sign":"0"}',
  "{__proto__=1, constructor=1, v=1, ts=1, sign=0}",
  "sha256=0",
  "null",
  "%00%0d%0a",
  // Bytes that are not UTF-8.
  "\xff\xfe{v=1}",
];

const shortened = ({ digest, ...rest }: Signature) => ({ ...rest, digest: digest.replace(/^0+/, "") });

export const SIGNATURE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-good",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is signed as documented is accepted.",
    reason: "Otherwise every event is lost.",
    source: DOCUMENTED,
    run: (s) => s.accepts({}, {}),
  },
  {
    id: "signature-header-case",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "The names of the signature's headers are read in any case.",
    reason: "Proxies write them in lower case, HTTP/2 always does.",
    source: "RFC 9110, section 5.1",
    run: (s) =>
      s.accepts(
        named(s, (name) => name.toLowerCase()),
        named(s, (name) => name.toUpperCase()),
      ),
  },
  {
    id: "signature-short",
    group: "signature",
    providers: TOLOKA,
    level: "MUST",
    what: "A signature of 63 digits is accepted: one zero in front is left out.",
    reason: "One genuine delivery in 16 is signed so.",
    source: SIGNER,
    run: (s) => s.accepts({ digest: /^0[^0]/, sends: shortened }),
  },
  {
    id: "signature-shorter",
    group: "signature",
    providers: TOLOKA,
    level: "MUST",
    what: "A signature of 62 digits is accepted: two zeros in front are left out.",
    reason: "One genuine delivery in 256 has so many digits, or fewer.",
    source: SIGNER,
    run: (s) => s.accepts({ digest: /^00[^0]/, sends: shortened }),
  },
  {
    id: "signature-padded",
    group: "signature",
    providers: TOLOKA,
    level: "MUST",
    what: "A signature with a zero in front is accepted with all of its 64 digits.",
    reason: "The documentation describes the digest in full, and the signer may be mended.",
    source: TOLOKAS,
    run: (s) => s.accepts({ digest: /^0/ }),
  },
  {
    id: "signature-order",
    group: "signature",
    providers: TOLOKA,
    level: "SHOULD",
    what: "The fields of the header are read in any order.",
    reason: "The documentation shows an order and does not promise it.",
    source: TOLOKAS,
    run: (s) =>
      s.accepts(
        header(({ time, version, digest }) => `{sign=${digest}, v=${version}, ts=${time}}`),
        header(({ time, version, digest }) => `{ts=${time}, sign=${digest}, v=${version}}`),
      ),
  },
  {
    id: "signature-spaces",
    group: "signature",
    providers: TOLOKA,
    level: "SHOULD",
    what: "The fields of the header are read with and without blanks between them.",
    reason: "The documentation shows one blank and does not promise it.",
    source: TOLOKAS,
    run: (s) =>
      s.accepts(
        header(({ time, version, digest }) => `{v=${version},ts=${time},sign=${digest}}`),
        header(({ time, version, digest }) => `{ v=${version},  ts=${time},  sign=${digest} }`),
      ),
  },
  {
    id: "signature-new-field",
    group: "signature",
    providers: TOLOKA,
    level: "MAY",
    what: "A field in the header that is not documented is passed over.",
    reason: "The header has a version, so it is made to grow.",
    source: TOLOKAS,
    run: (s) =>
      s.accepts(
        header(({ time, version, digest }) => `{v=${version}, ts=${time}, sign=${digest}, alg=sha256}`),
      ),
  },
  {
    id: "signature-version",
    group: "signature",
    providers: TOLOKA,
    level: "MAY",
    what: "A delivery of version 2 that is signed in the same way, version included, is accepted.",
    reason: "What is signed includes the version, so another one can be verified as well.",
    source: TOLOKAS,
    run: (s) => s.accepts({ version: "2" }),
  },
  {
    id: "signature-second-secret",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is signed with the second secret is accepted.",
    reason: "While a secret is replaced, or where subscriptions have one each, several are valid at once.",
    source:
      "Toloka's documentation of secret_key, one a subscription; Prolific's API reference, \"Create/replace a secret\"",
    needs: "two secrets",
    run: (s) => s.accepts({ secret: s.options.secrets[1] as string }, {}),
  },
  {
    id: "signature-missing",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is not signed is refused.",
    reason: FORGED,
    source: DOCUMENTED,
    run: (s) => s.refuses({ write: () => [] }),
  },
  {
    id: "signature-empty",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "An empty signature is refused.",
    reason: `${FORGED} Nothing at all is the beginning, and the end, of every signature.`,
    source: DOCUMENTED,
    run: (s) =>
      s.refuses(
        digest(() => ""),
        {
          write: (signature) => s.provider.write(signature).map(([name]): HeaderLines[number] => [name, ""]),
        },
      ),
  },
  {
    id: "signature-cut-at-end",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "The first digits of a signature are no signature.",
    reason: `${FORGED} A few digits can be guessed.`,
    source: DOCUMENTED,
    run: (s) =>
      s.refuses(
        // Nothing is cut by leaving out the padding of base64.
        ...[4, 20, 40, -1].map((end) => digest((digest) => digest.replace(/=$/, "").slice(0, end))),
      ),
  },
  {
    id: "signature-cut-in-front",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "The last digits of a signature are no signature.",
    reason: `${FORGED} To allow for Toloka's short signatures, the missing digits have to count as zeros.`,
    source: DOCUMENTED,
    run: (s) => s.refuses(...[4, 20, 40].map((length) => digest((digest) => digest.slice(-length)))),
  },
  {
    id: "signature-unreadable",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "What is no signature is refused.",
    reason: FORGED,
    source: DOCUMENTED,
    run: (s) =>
      s.refuses(
        ...UNREADABLE.map((value) => ({
          write: (signature: Signature) =>
            s.provider
              .write(signature)
              .map(([name, own], i): HeaderLines[number] => [name, i === 0 ? value : own]),
        })),
      ),
  },
  {
    id: "signature-other-secret",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is signed with another secret is refused.",
    reason: FORGED,
    source: DOCUMENTED,
    run: (s) => s.refuses({ secret: `not-${s.options.secrets[0]}` }),
  },
  {
    id: "signature-no-secret",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A delivery that is signed with an empty secret, or with a word for a missing one, is refused.",
    reason: `${FORGED} A variable that is not set makes such a secret.`,
    source: DOCUMENTED,
    run: (s) => s.refuses(...["", "undefined", "null", "None", "nil"].map((secret) => ({ secret }))),
  },
  {
    id: "signature-other-body",
    group: "signature",
    providers: BOTH,
    level: "MUST",
    what: "A body that was changed after it was signed is refused.",
    reason: FORGED,
    source: DOCUMENTED,
    run: (s) => {
      const events = [s.event()];
      const good = s.provider.compose(events);
      const changed = [good.replace("-1", "-2"), ` ${good}`, `${good}\n`, good.slice(0, -1), `${good}x`, ""];
      return s.refuses(...changed.map((body) => ({ events, body, signs: good })));
    },
  },
  {
    id: "signature-other-version",
    group: "signature",
    providers: TOLOKA,
    level: "SHOULD",
    what: "A version that was changed after it was signed is refused.",
    reason: "The version is signed: who takes another one for it has not verified it.",
    source: TOLOKAS,
    run: (s) => s.refuses({ sends: () => ({ version: "2" }) }),
  },
  {
    id: "signature-long",
    group: "signature",
    providers: BOTH,
    level: "SHOULD",
    what: "A signature with more digits behind it is refused.",
    reason: "Who compares only a part of it compares in a way that is easy to get wrong.",
    source: DOCUMENTED,
    run: (s) =>
      s.refuses(
        digest((digest) => `${digest}00`),
        digest((digest) => digest + "0".repeat(4_000)),
      ),
  },
  {
    id: "signature-twice",
    group: "signature",
    providers: BOTH,
    level: "MAY",
    what: "A delivery with two signatures, the second one genuine, is refused.",
    reason: "Which one counts is a guess, and a proxy in front may guess otherwise.",
    source: "RFC 9110, section 5.3: a sender must not repeat such a header",
    run: (s) =>
      s.refuses({
        write: (signature) => [
          ...s.provider.write({ ...signature, digest: signature.digest.replace(/./g, "0") }).slice(0, 1),
          ...s.provider.write(signature),
        ],
      }),
  },
  {
    id: "signature-boundary",
    group: "signature",
    providers: PROLIFIC,
    level: "MUST",
    what: "Digits that are moved from the time to the body are noticed.",
    reason: "Nothing stands between the two where they are signed, so the signature still fits.",
    source: 'Prolific\'s API reference, "Verifying"',
    run: (s) => {
      const events = [s.event()];
      const time = s.provider.time(Date.now());
      const body = time.slice(-1) + s.provider.compose(events);
      return s.refuses({ events, body, time: time.slice(0, -1) });
    },
  },
  {
    id: "signature-status",
    group: "signature",
    providers: BOTH,
    level: "SHOULD",
    what: "A forgery is answered below 500.",
    reason: "A 5xx says that the app failed: it wakes operators, and tells a forger what to send more of.",
    source: "RFC 9110, sections 15.5.2 and 15.6",
    run: (s) =>
      s.answersWith(
        "an answer below 500",
        { write: () => [] },
        { secret: `not-${s.options.secrets[0]}` },
        digest(() => ""),
        digest((digest) => digest.slice(0, 20)),
        { body: "", signs: "other" },
        ...UNREADABLE.map(
          (value): Draft => ({
            write: (signature) => s.provider.write(signature).map(([name]) => [name, value]),
          }),
        ),
      ),
  },
];
