import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import { NoAnswer } from "../exchange.js";
import { CheckFailed } from "../outcome.js";
import type { Answered, Session } from "../session.js";
import { TOLOKA_REPLY_CHECKS } from "./providers/toloka.js";

/** Lines of stack traces in JavaScript, Java and Go, Python, Ruby, PHP and .NET. */
const TRACES = [
  /\bat (?:.{1,200} \()?(?:file:|node:|\/|[A-Z]:\\).{1,300}:\d+:\d+/,
  /\.(?:java|kt|go):\d+/,
  /goroutine \d+ \[/,
  /Traceback \(most recent call last\)/,
  /\.py\\?", line \d+/,
  /\.rb:\d+:in /,
  /\.php(?::\d+|\(\d+\)| on line)/,
  /\.cs:line \d+/,
];

const provoked = new WeakSet<Session>();

/** Sends deliveries that the endpoint should refuse, once per session, and returns all answers so far. */
async function provokeReplies(session: Session): Promise<readonly Answered[]> {
  const drafts: readonly Draft[] = [
    {},
    { signatureHeaders: () => [] },
    { secret: session.wrongSecret },
    { alterSignature: ({ digest }) => ({ digest: digest.slice(0, 20) }) },
    { events: [session.event()], body: "{}", signedBody: "[]" },
    { timeOffset: -60 * 60 * 1000 },
    { time: "NaN" },
    { body: "null" },
    { body: "hello" },
    { events: [session.event({ [session.sender.typeField]: 42 })] },
    { method: "PUT" },
  ];
  if (!provoked.has(session)) {
    provoked.add(session);
    for (const draft of drafts) {
      await session.send(draft).catch((error) => {
        // A missing answer leaks nothing.
        if (!(error instanceof NoAnswer)) throw error;
      });
    }
  }
  // Includes the answers that other checks received.
  return session.answers;
}

const textOf = ({ answer }: Answered) => `${JSON.stringify(answer.headers)}\n${answer.body}`;

export const REPLY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "reply-secret",
    group: "replies",
    level: "MUST",
    requirement: "No reply contains a secret.",
    reason: "Anyone who knows the secret can forge every delivery.",
    source: "CWE-209",
    run: async (session) => {
      const spellings = session.confidential.flatMap(spellingsOf).map(wholeWord);
      const answers = await provokeReplies(session);
      const leak = answers.find((answered) => spellings.some((secret) => secret.test(textOf(answered))));
      if (leak)
        throw new CheckFailed("no secret in any reply", `a secret in a reply of ${leak.answer.status}`);
    },
  },
  {
    id: "reply-signature",
    group: "replies",
    level: "MUST",
    requirement: "No reply to a forgery contains its valid signature.",
    reason: "An attacker could send the forgery again with that signature.",
    source: "CWE-209",
    run: async (session) => {
      const answers = await provokeReplies(session);
      const leak = answers.find((answered) =>
        answered.withheldDigests.some((digest) => textOf(answered).includes(digest)),
      );
      if (leak) throw new CheckFailed("no signature in any reply", session.redaction.describe(leak.answer));
    },
  },
  {
    id: "reply-trace",
    group: "replies",
    level: "SHOULD",
    requirement: "No reply contains a stack trace.",
    reason: "A stack trace shows strangers how the app is built, and may quote secrets.",
    source: "CWE-209",
    run: async (session) => {
      const answers = await provokeReplies(session);
      const leak = answers.find(({ answer }) => TRACES.some((trace) => trace.test(answer.body)));
      if (leak) throw new CheckFailed("no stack trace in any reply", session.redaction.describe(leak.answer));
    },
  },
  ...TOLOKA_REPLY_CHECKS,
];

/** Returns a secret in the encodings that a reply may contain. */
function spellingsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    bytes.toString("base64"),
    bytes.toString("hex"),
  ];
}

/** Matches a whole word or number: longer ones may contain a short secret by chance. */
function wholeWord(text: string): RegExp {
  return new RegExp(
    `(?<![\\p{L}\\p{N}])${text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?![\\p{L}\\p{N}])`,
    "u",
  );
}
