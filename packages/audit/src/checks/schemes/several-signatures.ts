import type { HeaderLines, SignatureValues } from "@crowdhook/core/testing";
import { type SignatureList, sendsSeveralSignatures, signatureList } from "../../capabilities.js";
import type { RunnableCheck } from "../../check.js";
import type { Draft } from "../../delivery.js";
import type { Session } from "../../session.js";
import { STANDARD_WEBHOOKS } from "../../sources.js";

/** Enough to cost work, and few enough characters for the usual limit of 16 KiB for all headers. */
const THOUSANDS = 2_000;

/** Returns a delivery with these entries in place of the one signature in the header. */
export function withEntries(
  session: Session,
  entries: (valid: string, wrong: string, list: SignatureList) => readonly string[],
): Draft {
  const { sender } = session;
  const list = signatureList(sender);
  if (list === undefined) throw new Error(`${sender.provider.name} sends one signature.`);
  const signatureHeaders = (signature: SignatureValues): HeaderLines => {
    const valid = list.prefix + signature.digest;
    const wrong = list.prefix + sender.computeDigest(session.wrongSecret, signature, "");
    const [[name, value] = ["", ""], ...others] = sender.signatureHeaders(signature);
    const listed = entries(valid, wrong, list).join(list.separator);
    // A replacement text would give `$` a meaning.
    return [[name, value.replace(valid, () => listed)], ...others];
  };
  return { signatureHeaders };
}

/** The rules of a header that holds several signatures, as during a rotation of secrets. */
export const SEVERAL_SIGNATURES_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-one-of-several",
    group: "signature",
    appliesTo: sendsSeveralSignatures,
    level: "MUST",
    requirement: "A delivery is accepted if one of its signatures is valid, at any place in the header.",
    reason:
      "During a rotation the provider signs with both secrets. An endpoint that reads only the first signature loses every event.",
    source: STANDARD_WEBHOOKS,
    run: (session) =>
      session.expectAccepted(
        withEntries(session, (valid, wrong) => [valid, wrong]),
        withEntries(session, (valid, wrong) => [wrong, valid]),
        withEntries(session, (valid, wrong) => [wrong, wrong, valid, wrong]),
      ),
  },
  {
    id: "signature-other-scheme",
    group: "signature",
    appliesTo: (sender) => Boolean(signatureList(sender)?.prefix),
    level: "MUST",
    requirement: "Signatures of an unknown scheme beside a valid one are ignored.",
    reason: "A provider may add a scheme. An endpoint that fails at its first entry loses every event.",
    source: STANDARD_WEBHOOKS,
    run: (session) =>
      session.expectAccepted(
        withEntries(session, (valid, wrong, { prefix }) => [`x${prefix}${wrong}`, valid]),
        withEntries(session, (valid) => [valid, "x"]),
      ),
  },
  {
    id: "signature-all-wrong",
    group: "signature",
    appliesTo: sendsSeveralSignatures,
    level: "MUST",
    requirement: "A delivery with several signatures is refused if none is valid.",
    reason: "Otherwise anyone without the secret can have an event handled.",
    source: STANDARD_WEBHOOKS,
    run: (session) =>
      session.expectRefused(
        withEntries(session, (_, wrong) => [wrong, wrong]),
        withEntries(session, (valid, wrong) => [wrong, valid.slice(0, -4)]),
        withEntries(session, (_, wrong, { prefix }) => [prefix, wrong, prefix]),
        withEntries(session, () => ["", ""]),
      ),
  },
  {
    id: "signature-thousands",
    group: "signature",
    appliesTo: sendsSeveralSignatures,
    level: "SHOULD",
    requirement: `A header with ${THOUSANDS.toLocaleString("en")} signatures is refused, even if one is valid, and the next good delivery is accepted.`,
    reason:
      "The sender chooses how much the endpoint compares. No provider sends more than a few signatures.",
    source: "CWE-770",
    run: async (session) => {
      const many = (entry: string) => Array.from({ length: THOUSANDS }, () => entry);
      await session.expectRefused(
        withEntries(session, (valid, _, { prefix }) => [...many(prefix), valid]),
        withEntries(session, (valid, _, { prefix }) => [valid, ...many(prefix)]),
      );
      await session.expectAccepted({});
    },
  },
];
