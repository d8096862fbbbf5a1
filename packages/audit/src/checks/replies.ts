import { BOTH, type RunnableCheck, TOLOKA, Unmet } from "../check.js";
import { NoAnswer } from "../exchange.js";
import type { Answered, Draft, Session } from "../session.js";

/** As runtimes print where they are: JavaScript, Java and Go, Python, Ruby, PHP, .NET. */
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

/** Has the endpoint say something about what it finds wrong. */
async function provokes(s: Session): Promise<readonly Answered[]> {
  const drafts: readonly Draft[] = [
    {},
    { write: () => [] },
    { secret: `not-${s.options.secrets[0]}` },
    { sends: ({ digest }) => ({ digest: digest.slice(0, 20) }) },
    { events: [s.event()], body: "{}", signs: "[]" },
    { at: -60 * 60 * 1000 },
    { time: "NaN" },
    { body: "null" },
    { body: "hello" },
    { events: [s.event({ [s.provider.typeField]: 42 })] },
    { method: "PUT" },
  ];
  if (!provoked.has(s)) {
    provoked.add(s);
    for (const draft of drafts) {
      await s.send(draft).catch((error) => {
        // Silence gives nothing away.
        if (!(error instanceof NoAnswer)) throw error;
      });
    }
  }
  // What other checks have provoked, too.
  return s.answers;
}

const textOf = ({ answer }: Answered) => `${JSON.stringify(answer.headers)}\n${answer.body}`;

export const REPLY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "reply-secret",
    group: "replies",
    providers: BOTH,
    level: "MUST",
    what: "No reply holds a secret.",
    reason: "Who has it can forge whatever he likes.",
    source: "CWE-209",
    run: async (s) => {
      const spellings = s.options.secrets.flatMap(spellingsOf).map(standing);
      const answers = await provokes(s);
      const leak = answers.find((answered) => spellings.some((secret) => secret.test(textOf(answered))));
      if (leak) throw new Unmet("no secret in any reply", `a secret in a reply of ${leak.answer.status}`);
    },
  },
  {
    id: "reply-signature",
    group: "replies",
    providers: BOTH,
    level: "MUST",
    what: "No reply to a forgery holds the signature that would have fitted.",
    reason: "Sent again with it, the forgery is accepted.",
    source: "CWE-209",
    run: async (s) => {
      const answers = await provokes(s);
      const leak = answers.find((answered) =>
        answered.fitting.some((digest) => textOf(answered).includes(digest)),
      );
      if (leak) throw new Unmet("no signature in any reply", s.seen(leak.answer));
    },
  },
  {
    id: "reply-trace",
    group: "replies",
    providers: BOTH,
    level: "SHOULD",
    what: "No reply holds a stack trace.",
    reason: "It tells strangers what the app is made of, and may quote what is secret.",
    source: "CWE-209",
    run: async (s) => {
      const answers = await provokes(s);
      const leak = answers.find(({ answer }) => TRACES.some((trace) => trace.test(answer.body)));
      if (leak) throw new Unmet("no stack trace in any reply", s.seen(leak.answer));
    },
  },
  {
    id: "reply-200",
    group: "replies",
    providers: TOLOKA,
    level: "SHOULD",
    what: "A good delivery is answered with 200.",
    reason: "Which statuses Toloka takes for success is not written down; 200 is one for certain.",
    source: "Toloka's API reference: the test of a subscription tells WRONG_STATUS_CODE",
    run: (s) => s.answersWith("200", {}),
  },
];

/** The forms in which a secret may be printed. */
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

/** Matches a text that is no part of a longer word or number: short secrets are in many of those. */
function standing(text: string): RegExp {
  return new RegExp(
    `(?<![\\p{L}\\p{N}])${text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?![\\p{L}\\p{N}])`,
    "u",
  );
}
