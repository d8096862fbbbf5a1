import type { ErrorCode } from "@crowdhook/core";
import type { Sender, SentEvent } from "@crowdhook/core/testing";
import {
  dropsLeadingZeros,
  joinsTimeAndBody,
  sendsManyEvents,
  sendsSeveralSignatures,
  signatureList,
  signsIdHeader,
  signsTime,
} from "../packages/audit/src/capabilities.js";
import { withEntries } from "../packages/audit/src/checks/schemes/several-signatures.js";
import type { Draft } from "../packages/audit/src/delivery.js";
import type { Session } from "../packages/audit/src/session.js";

/** A delivery with the verdict of a correct receiver. */
export interface Case {
  readonly name: string;
  readonly about: "signature" | "time" | "body" | "events" | "method";
  /** Default: the delivery is accepted. */
  readonly code?: ErrorCode;
  readonly reason: string;
  /** Default: it applies to every provider. */
  readonly appliesTo?: boolean;
  draft(session: Session): Draft;
}

/** The receiver's clock. */
export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const MINUTE_MS = 60_000;
const bodyOf = ({ sender }: Session, events: readonly SentEvent[]) => sender.composeBody(events);
const indent = (json: string) => JSON.stringify(JSON.parse(json), undefined, 4);

/** A delivery whose body is written in another way after it was signed, or before if `isSigned`. */
function rewritten(session: Session, rewrite: (json: string) => string, isSigned: boolean): Draft {
  const events = [session.event({ note: "note-1 é 例 😀" })];
  const signedBody = bodyOf(session, events);
  const body = rewrite(signedBody);
  return isSigned ? { events, body } : { events, body, signedBody };
}

/** A delivery whose headers have the names of another of the provider's senders. */
function renamed({ sender }: Session, [aliases = []]: readonly (readonly string[])[]): Draft {
  const { headers } = sender.provider.signatureFormat;
  return {
    signatureHeaders: (signature) =>
      sender
        .signatureHeaders(signature)
        .map(([name, value]) => [aliases[headers.indexOf(name)] ?? name, value]),
  };
}

function signatureCases(sender: Sender): readonly Case[] {
  const about = "signature";
  const malformed = { about, code: "SIGNATURE_MALFORMED" } as const;
  const mismatch = { about, code: "SIGNATURE_MISMATCH" } as const;
  const { aliases = [] } = sender.provider.signatureFormat;
  const isList = sendsSeveralSignatures(sender);
  const hasShortDigests = dropsLeadingZeros(sender);
  return [
    ...sender.provider.eventTypes.map(
      (type): Case => ({
        name: `type ${type}`,
        about,
        reason: "The provider documents the type.",
        draft: (session) => ({ events: [session.event({}, type)] }),
      }),
    ),
    {
      name: "body indented",
      about,
      reason: "The signature is over the bytes as sent.",
      draft: (session) => rewritten(session, indent, true),
    },
    {
      name: "body with a line break at its end",
      about,
      reason: "The signature is over the bytes as sent.",
      draft: (session) => rewritten(session, (json) => `${json}\r\n`, true),
    },
    {
      name: "header names in lower case",
      about,
      reason: "The case of header names has no meaning.",
      draft: ({ sender }) => ({
        signatureHeaders: (signature) =>
          sender.signatureHeaders(signature).map(([name, value]) => [name.toLowerCase(), value]),
      }),
    },
    {
      name: "headers under other names",
      about,
      appliesTo: aliases.length > 0,
      reason: "Senders of the scheme use several names.",
      draft: (session) => renamed(session, aliases),
    },
    {
      name: "digest without its leading zero",
      about,
      appliesTo: hasShortDigests,
      reason: "The provider prints a digest as a number.",
      draft: () => ({
        digestPattern: /^0[^0]/,
        alterSignature: ({ digest }) => ({ digest: digest.slice(1) }),
      }),
    },
    {
      name: "wrong signature, then a valid one",
      about,
      appliesTo: isList,
      reason: "One valid signature is enough.",
      draft: (session) => withEntries(session, (valid, wrong) => [wrong, valid]),
    },
    {
      name: "signature of an unknown scheme, then a valid one",
      about,
      appliesTo: Boolean(signatureList(sender)?.prefix),
      reason: "Entries of other schemes are ignored.",
      draft: (session) => withEntries(session, (valid, wrong, { prefix }) => [`x${prefix}${wrong}`, valid]),
    },
    {
      name: "no signature",
      about,
      code: "SIGNATURE_MISSING",
      reason: "The delivery is not signed.",
      draft: () => ({ signatureHeaders: () => [] }),
    },
    {
      name: "ten characters of the digest",
      ...malformed,
      reason: "A part of a digest is no digest.",
      draft: () => ({ alterSignature: ({ digest }) => ({ digest: digest.slice(0, 10) }) }),
    },
    {
      name: "digest with characters at its end",
      ...malformed,
      reason: "The whole text must be a digest.",
      draft: () => ({ alterSignature: ({ digest }) => ({ digest: `${digest}00` }) }),
    },
    {
      name: "other secret",
      ...mismatch,
      reason: "The receiver has another secret.",
      draft: ({ wrongSecret }) => ({ secret: wrongSecret }),
    },
    {
      name: "body changed",
      ...mismatch,
      reason: "The signature is over another body.",
      draft: (session) => rewritten(session, (json) => json.replace("note-1", "note-2"), false),
    },
    {
      name: "same JSON in other bytes",
      ...mismatch,
      reason: "The signature is over the bytes as sent.",
      draft: (session) => rewritten(session, indent, false),
    },
    {
      name: "byte order mark added",
      ...mismatch,
      reason: "The signature is over the bytes as sent.",
      draft: (session) => rewritten(session, (json) => `\uFEFF${json}`, false),
    },
    {
      name: "several wrong signatures",
      ...mismatch,
      appliesTo: isList,
      reason: "No signature is valid.",
      draft: (session) => withEntries(session, (_, wrong) => [wrong, wrong]),
    },
    {
      name: "too many signatures",
      ...malformed,
      appliesTo: isList,
      reason: "The receiver bounds the number of signatures.",
      draft: (session) =>
        withEntries(session, (valid, _, { prefix }) => [...Array.from({ length: 30 }, () => prefix), valid]),
    },
    {
      name: "id changed",
      ...mismatch,
      appliesTo: signsIdHeader(sender),
      reason: "The signature is over another id.",
      draft: () => ({ alterSignature: ({ id }) => ({ id: `${id}0` }) }),
    },
    {
      name: "id removed",
      ...malformed,
      appliesTo: signsIdHeader(sender),
      reason: "The signature is over an id.",
      draft: () => ({ alterSignature: () => ({ id: "" }) }),
    },
  ];
}

function timeCases(sender: Sender): readonly Case[] {
  const about = "time";
  const outside = { about, code: "TIMESTAMP_OUT_OF_TOLERANCE", appliesTo: signsTime(sender) } as const;
  return [
    {
      name: "signed four minutes ago",
      about,
      appliesTo: signsTime(sender),
      reason: "The time is within the tolerance.",
      draft: () => ({ timeOffset: -4 * MINUTE_MS }),
    },
    {
      name: "signed six minutes ago",
      ...outside,
      reason: "The time is outside the tolerance.",
      draft: () => ({ timeOffset: -6 * MINUTE_MS }),
    },
    {
      name: "signed six minutes ahead",
      ...outside,
      reason: "The time is outside the tolerance.",
      draft: () => ({ timeOffset: 6 * MINUTE_MS }),
    },
    {
      name: "time in the wrong unit",
      ...outside,
      reason: "The receiver does not guess the unit.",
      draft: ({ sender }) => ({
        time:
          sender.provider.signatureFormat.timestamp?.unit === "seconds"
            ? String(NOW).slice(0, 11)
            : String(NOW / 1000),
      }),
    },
    {
      name: "time changed",
      about,
      code: "SIGNATURE_MISMATCH",
      appliesTo: signsTime(sender),
      reason: "The signature is over another time.",
      draft: ({ sender }) => ({
        timeOffset: -10_000,
        alterSignature: () => ({ time: sender.formatTime(NOW) }),
      }),
    },
    {
      name: "time that is no number",
      about,
      code: "SIGNATURE_MALFORMED",
      appliesTo: signsTime(sender),
      reason: "The time cannot be read, although it is signed.",
      draft: () => ({ time: "NaN" }),
    },
    {
      name: "digit moved from the time to the body",
      ...outside,
      appliesTo: joinsTimeAndBody(sender),
      reason: "No text is signed between the time and the body, so only the time shows the change.",
      draft(session) {
        const time = sender.formatTime(NOW);
        const events = [session.event()];
        return { events, time: time.slice(0, -1), body: time.slice(-1) + bodyOf(session, events) };
      },
    },
  ];
}

function bodyCases(sender: Sender): readonly Case[] {
  const notJson = { about: "body", code: "BODY_NOT_JSON" } as const;
  return [
    {
      name: "undocumented field",
      about: "events",
      reason: "Providers add fields.",
      draft: (session) => ({ events: [session.event({ new_field: { x: [1, null] } })] }),
    },
    {
      name: "undocumented type",
      about: "events",
      reason: "Providers add types.",
      draft: (session) => ({ events: [session.event({ [sender.typeField]: "something.new" })] }),
    },
    {
      name: "three events",
      about: "events",
      appliesTo: sendsManyEvents(sender),
      reason: "A delivery contains one event or many.",
      draft: (session) => ({ events: [1, 2, 3].map(() => session.event()) }),
    },
    {
      name: "signed, but no JSON",
      ...notJson,
      reason: "The body is not JSON.",
      draft: () => ({ body: "hello" }),
    },
    {
      name: "signed, but not UTF-8",
      ...notJson,
      reason: "The body is not UTF-8.",
      draft: () => ({ body: Buffer.from([0x7b, 0xff, 0x7d]) }),
    },
    {
      name: "signed null",
      about: "body",
      code: "ENVELOPE_INVALID",
      reason: "The body is JSON and no delivery.",
      draft: () => ({ body: "null" }),
    },
    {
      name: "method PUT",
      about: "method",
      code: "METHOD_NOT_ALLOWED",
      reason: "Providers send POST.",
      draft: () => ({ method: "PUT" }),
    },
  ];
}

/** Returns the cases of the provider's scheme. */
export function casesOf(sender: Sender): readonly Case[] {
  const cases = [...signatureCases(sender), ...timeCases(sender), ...bodyCases(sender)];
  return cases.filter(({ appliesTo = true }) => appliesTo);
}
