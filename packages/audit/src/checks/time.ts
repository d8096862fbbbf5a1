import type { HeaderLines, Sender, SignatureValues } from "@crowdhook/core/testing";
import { signsTime } from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import type { Session } from "../session.js";
import { SIGNATURES } from "../sources.js";

const HOUR_MS = 60 * 60 * 1000;
const YEAR_MS = 24 * 365 * HOUR_MS;

const UNLIMITED = `${SIGNATURES}: the time is signed, no limit is given`;

/** Writes the signature headers without the time of signing. */
function writeWithoutTime(sender: Sender, signature: SignatureValues): HeaderLines {
  const { headers, timestamp } = sender.provider.signatureFormat;
  const lines = sender.signatureHeaders(signature);
  if (timestamp === undefined) return lines;
  const isTime = (name: string) => name.toLowerCase() === timestamp.header.toLowerCase();
  if (!isTime(headers[0])) return lines.filter(([name]) => !isTime(name));
  // The digest and the time share a header, so only the field with the time goes.
  const field = new RegExp(`(?:${timestamp.pattern.source}),? *`);
  return lines.map(([name, value]) => [name, isTime(name) ? value.replace(field, "") : value]);
}

/** Returns whether a leading zero changes the signed bytes. It does not if the provider signs the number. */
function signsTextOfTime({ sender, options }: Session, time: string): boolean {
  const digestOf = (time: string) =>
    sender.computeDigest(options.secrets[0], { time, version: "1", id: "id" }, "");
  return digestOf(time) !== digestOf(`0${time}`);
}

export const TIME_CHECKS: readonly RunnableCheck[] = [
  {
    id: "time-changed",
    group: "time",
    appliesTo: signsTime,
    level: "MUST",
    requirement: "A time that was changed after signing is refused.",
    reason: "Otherwise a captured delivery can be sent again and again, each time with a new time.",
    source: SIGNATURES,
    run: (session) => {
      const now = session.sender.formatTime(Date.now());
      const drafts: Draft[] = [{ timeOffset: -HOUR_MS, alterSignature: () => ({ time: now }) }];
      if (signsTextOfTime(session, now))
        drafts.push({ alterSignature: ({ time }) => ({ time: `0${time}` }) });
      return session.expectRefused(...drafts);
    },
  },
  {
    id: "time-missing",
    group: "time",
    appliesTo: signsTime,
    level: "MUST",
    requirement: "A delivery whose time was removed after signing is refused.",
    reason: "Otherwise a captured delivery can be sent again without the time that shows its age.",
    source: SIGNATURES,
    run: (session) =>
      session.expectRefused(
        { alterSignature: () => ({ time: "" }) },
        { signatureHeaders: (signature) => writeWithoutTime(session.sender, signature) },
      ),
  },
  {
    id: "time-old",
    group: "time",
    appliesTo: signsTime,
    level: "SHOULD",
    requirement: "A delivery that was signed an hour or years ago is refused.",
    reason:
      "Otherwise an old captured delivery can be sent again: once the endpoint has forgotten its id, or at any time under a new id if the id is not signed.",
    source: UNLIMITED,
    run: (session) => session.expectRefused({ timeOffset: -HOUR_MS }, { timeOffset: -5 * YEAR_MS }),
  },
  {
    id: "time-ahead",
    group: "time",
    appliesTo: signsTime,
    level: "SHOULD",
    requirement: "A delivery that is signed with a time an hour or years ahead is refused.",
    reason: "Otherwise it counts as fresh until then. A limit on age alone does not stop it.",
    source: UNLIMITED,
    run: (session) => session.expectRefused({ timeOffset: HOUR_MS }, { timeOffset: 5 * YEAR_MS }),
  },
  {
    id: "time-unit",
    group: "time",
    appliesTo: signsTime,
    level: "SHOULD",
    requirement:
      "A time in the wrong unit is refused: a provider sends seconds or milliseconds, and the endpoint does not guess.",
    reason: "Every age is wrong if it is computed in the wrong unit.",
    source: SIGNATURES,
    run: (session) => {
      const now = Date.now();
      const { timestamp } = session.sender.provider.signatureFormat;
      const isMilliseconds = timestamp?.unit === "milliseconds";
      return session.expectRefused({ time: String(isMilliseconds ? Math.floor(now / 1000) : now) });
    },
  },
  {
    id: "time-unreadable",
    group: "time",
    appliesTo: signsTime,
    level: "SHOULD",
    requirement: "A malformed time is refused, even if it is signed.",
    reason: "In most languages every comparison with NaN is false, so such a time passes every limit.",
    source: UNLIMITED,
    run: (session) =>
      session.expectRefused(
        ...["NaN", "now", "-1", "1e99", "0x18", "9".repeat(400)].map((time) => ({ time })),
      ),
  },
  {
    id: "time-close",
    group: "time",
    appliesTo: signsTime,
    level: "SHOULD",
    requirement: "A delivery that was signed a minute ago, or by a clock five seconds ahead, is accepted.",
    reason: "Networks and queues delay deliveries, and clocks differ.",
    source: UNLIMITED,
    run: (session) => session.expectAccepted({ timeOffset: -60_000 }, { timeOffset: 5_000 }),
  },
];
