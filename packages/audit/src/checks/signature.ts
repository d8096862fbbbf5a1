import type { HeaderLines } from "@crowdhook/core/testing";
import { dropsLeadingZeros, joinsTimeAndBody, sendsOneSignature } from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import type { Session } from "../session.js";
import { PROLIFIC_VERIFYING, SIGNATURES, TOLOKA_AUTHENTICATION } from "../sources.js";
import { TOLOKA_HEADER_CHECKS, TOLOKA_VERSION_CHECKS } from "./providers/toloka.js";
import { SEVERAL_SIGNATURES_CHECKS } from "./schemes/several-signatures.js";
import { SIGNED_ID_CHECKS } from "./schemes/signed-ids.js";

const JAVA_SDK = "Toloka's Java SDK, which prints a digest as a number";

const FORGERY = "Otherwise anyone without the secret can have an event handled.";

const withoutSignature: Draft = { signatureHeaders: () => [] };
const withDigest = (change: (digest: string) => string): Draft => ({
  alterSignature: ({ digest }) => ({ digest: change(digest) }),
});
const withoutLeadingZeros = withDigest((digest) => digest.replace(/^0+/, ""));
/** Changes the lines of the signature headers. */
const withLines = (
  { sender }: Session,
  change: (line: HeaderLines[number], index: number) => HeaderLines[number],
): Draft => ({
  signatureHeaders: (signature) => sender.signatureHeaders(signature).map(change),
});

/** Returns a digest of the same form, in which all digits between two places are others. */
function replacedBetween({ sender }: Session, digest: string, start: number, end = digest.length): string {
  // Base64 ends with bits that must be zero. They are zero in A and Q.
  const [usual, other] = sender.digestEncoding === "hex" ? ["1", "2"] : ["A", "Q"];
  const replaced = digest.slice(start, end).replace(/[^=]/g, (digit) => (digit === usual ? other : usual));
  return digest.slice(0, start) + replaced + digest.slice(end);
}

/** Parts of a digest: 4, 20 and 40 of 64 digits. */
const PARTS = [1 / 16, 5 / 16, 5 / 8];

/** Header values that hold no signature. */
const MALFORMED = [
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
  // These bytes are not UTF-8.
  "\xff\xfe{v=1}",
];

export const SIGNATURE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-good",
    group: "signature",
    level: "MUST",
    requirement: "A delivery that is signed as documented is accepted.",
    reason: "Otherwise every event is lost.",
    source: SIGNATURES,
    run: (session) => session.expectAccepted({}, {}),
  },
  {
    id: "signature-header-case",
    group: "signature",
    level: "MUST",
    requirement: "The signature headers are found whatever the case of their names.",
    reason: "Proxies may write the names in lower case, and HTTP/2 always does.",
    source: "RFC 9110, section 5.1",
    run: (session) =>
      session.expectAccepted(
        withLines(session, ([name, value]) => [name.toLowerCase(), value]),
        withLines(session, ([name, value]) => [name.toUpperCase(), value]),
      ),
  },
  {
    id: "signature-short",
    group: "signature",
    appliesTo: dropsLeadingZeros,
    level: "MUST",
    requirement: "A signature of 63 digits, without its one leading zero, is accepted.",
    reason: "One in 16 genuine deliveries has such a signature.",
    source: JAVA_SDK,
    run: (session) => session.expectAccepted({ ...withoutLeadingZeros, digestPattern: /^0[^0]/ }),
  },
  {
    id: "signature-shorter",
    group: "signature",
    appliesTo: dropsLeadingZeros,
    level: "MUST",
    requirement: "A signature of 62 digits, without its two leading zeros, is accepted.",
    reason: "One in 256 genuine deliveries has a signature of 62 digits or fewer.",
    source: JAVA_SDK,
    run: (session) => session.expectAccepted({ ...withoutLeadingZeros, digestPattern: /^00[^0]/ }),
  },
  {
    id: "signature-padded",
    group: "signature",
    appliesTo: dropsLeadingZeros,
    level: "MUST",
    requirement: "A signature of 64 digits that starts with a zero is accepted.",
    reason: "The documentation describes the whole digest, and a later signer may keep the zeros.",
    source: TOLOKA_AUTHENTICATION,
    run: (session) => session.expectAccepted({ digestPattern: /^0/ }),
  },
  ...TOLOKA_HEADER_CHECKS,
  {
    id: "signature-second-secret",
    group: "signature",
    level: "MUST",
    requirement: "A delivery that is signed with the second secret is accepted.",
    reason: "Two secrets are valid during a rotation, or if each subscription has its own.",
    source:
      "Toloka's documentation of secret_key, one a subscription; Prolific's API reference, \"Create/replace a secret\"",
    needs: "two secrets",
    run: (session) => session.expectAccepted({ secret: session.options.secrets[1] as string }, {}),
  },
  {
    id: "signature-missing",
    group: "signature",
    level: "MUST",
    requirement: "A delivery that is not signed is refused.",
    reason: FORGERY,
    source: SIGNATURES,
    run: (session) => session.expectRefused(withoutSignature),
  },
  {
    id: "signature-empty",
    group: "signature",
    level: "MUST",
    requirement: "An empty signature is refused.",
    reason: `${FORGERY} A test for a common beginning or end is true for an empty text.`,
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        withDigest(() => ""),
        withLines(session, ([name]) => [name, ""]),
      ),
  },
  {
    id: "signature-cut-at-end",
    group: "signature",
    level: "MUST",
    requirement: "The first digits of a signature are refused in place of the whole.",
    reason: `${FORGERY} An attacker can guess a few digits.`,
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        // Base64 without its padding is still the whole digest, so the padding goes first.
        ...PARTS.map((part) => withDigest((digest) => digest.slice(0, Math.floor(part * digest.length)))),
        withDigest((digest) => digest.replace(/=$/, "").slice(0, -1)),
        // These keep the length, for an endpoint that tests the length and compares only a part.
        ...PARTS.map((part) =>
          withDigest((digest) => replacedBetween(session, digest, Math.floor(part * digest.length))),
        ),
      ),
  },
  {
    id: "signature-cut-in-front",
    group: "signature",
    level: "MUST",
    requirement: "The last digits of a signature are refused in place of the whole.",
    reason: `${FORGERY} In a short signature of Toloka's, only zeros may be missing.`,
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        ...PARTS.map((part) => withDigest((digest) => digest.slice(-Math.floor(part * digest.length)))),
        ...PARTS.map((part) =>
          withDigest((digest) =>
            replacedBetween(session, digest, 0, digest.length - Math.floor(part * digest.length)),
          ),
        ),
      ),
  },
  {
    id: "signature-unreadable",
    group: "signature",
    level: "MUST",
    requirement: "A malformed signature is refused.",
    reason: FORGERY,
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        ...MALFORMED.map((text) => withLines(session, ([name, value], i) => [name, i === 0 ? text : value])),
      ),
  },
  {
    id: "signature-other-secret",
    group: "signature",
    level: "MUST",
    requirement: "A delivery that is signed with another secret is refused.",
    reason: FORGERY,
    source: SIGNATURES,
    run: (session) => session.expectRefused({ secret: session.wrongSecret }),
  },
  {
    id: "signature-no-secret",
    group: "signature",
    level: "MUST",
    requirement:
      "A delivery that is signed with an empty secret, `undefined`, `null`, `None` or `nil` is refused.",
    reason: `${FORGERY} If the variable for the secret is not set, the secret may be such a text.`,
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(...["", "undefined", "null", "None", "nil"].map((secret) => ({ secret }))),
  },
  {
    id: "signature-other-body",
    group: "signature",
    level: "MUST",
    requirement: "A body that was changed after signing is refused.",
    reason: FORGERY,
    source: SIGNATURES,
    run: (session) => {
      const events = [session.event({ note: "note-1" })];
      const good = session.sender.composeBody(events);
      const changed = [good.replace("-1", "-2"), ` ${good}`, `${good}\n`, good.slice(0, -1), `${good}x`, ""];
      return session.expectRefused(...changed.map((body) => ({ events, body, signedBody: good })));
    },
  },
  ...TOLOKA_VERSION_CHECKS,
  {
    id: "signature-long",
    group: "signature",
    level: "SHOULD",
    requirement: "A signature with extra digits at the end is refused.",
    reason: "An endpoint that ignores extra digits compares only a part, which is easy to get wrong.",
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        withDigest((digest) => `${digest}00`),
        withDigest((digest) => digest + "0".repeat(4_000)),
      ),
  },
  {
    id: "signature-twice",
    group: "signature",
    appliesTo: sendsOneSignature,
    level: "MAY",
    requirement: "A delivery with a wrong signature followed by a valid one is refused.",
    reason: "The endpoint and a proxy in front of it may choose different signatures.",
    source: "RFC 9110, section 5.3: a sender must not repeat such a header",
    run: (session) =>
      session.expectRefused({
        signatureHeaders: (signature) => {
          const wrong = { ...signature, digest: signature.digest.replace(/./g, "0") };
          const { sender } = session;
          return [...sender.signatureHeaders(wrong).slice(0, 1), ...sender.signatureHeaders(signature)];
        },
      }),
  },
  {
    id: "signature-boundary",
    group: "signature",
    appliesTo: joinsTimeAndBody,
    level: "MUST",
    requirement: "Digits that were moved from the time to the body are detected.",
    reason: "The signed text has no separator between the time and the body, so the signature stays valid.",
    source: PROLIFIC_VERIFYING,
    run: (session) => {
      const events = [session.event()];
      const time = session.sender.formatTime(Date.now());
      const body = time.slice(-1) + session.sender.composeBody(events);
      return session.expectRefused({ events, body, time: time.slice(0, -1) });
    },
  },
  ...SEVERAL_SIGNATURES_CHECKS,
  ...SIGNED_ID_CHECKS,
  {
    id: "signature-status",
    group: "signature",
    level: "SHOULD",
    requirement: "A forgery is answered with a status below 500.",
    reason:
      "A 5xx says that the app failed. It alerts operators and tells an attacker which input to repeat.",
    source: "RFC 9110, sections 15.5.2 and 15.6",
    run: (session) =>
      session.expectStatus(
        "an answer below 500",
        withoutSignature,
        { secret: session.wrongSecret },
        withDigest(() => ""),
        withDigest((digest) => digest.slice(0, 20)),
        { body: "", signedBody: "other" },
        ...MALFORMED.map((text) => withLines(session, ([name]) => [name, text])),
      ),
  },
];
