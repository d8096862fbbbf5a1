import { BOTH, type RunnableCheck, TOLOKA } from "../check.js";
import { ascii } from "../providers.js";
import type { Draft, Session } from "../session.js";

const BYTES =
  'Toloka\'s documentation, "Event authentication"; Prolific\'s API reference, "Verifying": the body is signed as it is sent';
const JSON_TEXT = "RFC 8259, sections 2 and 7";
const UTF8 = "RFC 8259, section 8.1";
const UNREADABLE = "RFC 9110, section 15.5.1";

const REWRITTEN = "What is verified is then not what was sent: bytes that nobody signed are accepted";
const LOST = "Who parses first and serializes anew computes another signature, and loses the event.";
const HIDDEN = "A 2xx hides the loss, and a 5xx has it sent again and again.";

/** An event, written in other bytes than the provider's serializer writes. */
function rewritten(s: Session, rewrite: (json: string) => string, fields = {}): Draft {
  const events = [s.event(fields)];
  return { events, body: rewrite(s.provider.compose(events)) };
}

const indent = (json: string) => JSON.stringify(JSON.parse(json), undefined, 2);
const compact = (json: string) => JSON.stringify(JSON.parse(json));

const BOM = Buffer.from("\uFEFF");
const REPLACEMENT = Buffer.from("\uFFFD");

/** An event with bytes in it that are no UTF-8, and what a decoder makes of them. */
function undecodable(s: Session): { events: Draft["events"]; raw: Buffer; decoded: Buffer } {
  const events = [s.event({ note: "@" })];
  const [before = "", after = ""] = s.provider.compose(events).split("@");
  const around = (bytes: Uint8Array) => Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]);
  return { events, raw: around(Buffer.from([0xff])), decoded: around(REPLACEMENT) };
}

export const BODY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "body-indented",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "A body with line breaks and white space is accepted, and so is one without any.",
    reason: LOST,
    source: BYTES,
    run: (s) =>
      s.accepts(
        rewritten(s, indent),
        rewritten(s, compact),
        rewritten(s, (json) => `${json}\n`),
        rewritten(s, (json) => ` \r\n\t${json} `),
      ),
  },
  {
    id: "body-escapes",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "A body with escapes and numbers that have a shorter form is accepted.",
    reason: LOST,
    source: JSON_TEXT,
    run: (s) =>
      s.accepts(
        rewritten(s, (json) =>
          json.replaceAll("-1", "\\u002d1").replace(/}(?=[\]}]*$)/, ', "n": 1.0, "m": 1E2, "s": "a\\/b"}'),
        ),
      ),
  },
  {
    id: "body-not-ascii",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "A body with text of any language is accepted, as UTF-8 and as escapes.",
    reason: "Who decodes or escapes before verifying computes another signature, and loses the event.",
    source: UTF8,
    run: (s) => {
      const fields = { note: "é e\u0301 ß Привет 例 \u2028 😀" };
      return s.accepts(
        rewritten(s, compact, fields),
        rewritten(s, (json) => ascii(compact(json)), fields),
      );
    },
  },
  {
    id: "body-rewritten",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "The same JSON in other bytes than those that were signed is refused.",
    reason: `${REWRITTEN}.`,
    source: BYTES,
    run: (s) => {
      const rewrites = [indent, compact, (json: string) => json.replaceAll("-1", "\\u002d1")];
      return s.refuses(
        ...rewrites.flatMap((rewrite): Draft[] => {
          const events = [s.event({ note: "a, b: c" })];
          const signs = s.provider.compose(events);
          const body = rewrite(signs);
          return body === signs ? [{ events, body: signs, signs: indent(signs) }] : [{ events, body, signs }];
        }),
      );
    },
  },
  {
    id: "body-decoded",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "Bytes that are no UTF-8 are not verified as what a decoder makes of them.",
    reason: `${REWRITTEN}, and genuine ones are not.`,
    source: BYTES,
    run: (s) => {
      const { events, raw, decoded } = undecodable(s);
      return s.refuses({ events, body: raw, signs: decoded } as Draft);
    },
  },
  {
    id: "body-mark-added",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "A byte order mark that was not signed is noticed, and so is one that is gone.",
    reason: `${REWRITTEN}: decoders drop the mark without a word.`,
    source: BYTES,
    run: (s) => {
      const events = [s.event()];
      const plain = Buffer.from(s.provider.compose(events));
      const marked = Buffer.concat([BOM, plain]);
      return s.refuses({ events, body: marked, signs: plain }, { events, body: plain, signs: marked });
    },
  },
  {
    id: "body-mark",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "A signed body with a byte order mark is answered below 500.",
    reason: "It may be read or refused; it is no failure of the app.",
    source: UTF8,
    run: (s) =>
      s.answersWith(
        "an answer below 500",
        rewritten(s, (json) => `\uFEFF${json}`),
      ),
  },
  {
    id: "body-not-utf8",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "A signed body with bytes that are no UTF-8 is answered below 500.",
    reason: "It may be read or refused; it is no failure of the app.",
    source: UTF8,
    run: (s) => {
      const { events = [], raw } = undecodable(s);
      return s.answersWith("an answer below 500", { events, body: raw });
    },
  },
  {
    id: "body-empty",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "A signed body without anything in it is answered with 4xx.",
    reason: HIDDEN,
    source: UNREADABLE,
    run: (s) => s.answersWith("4xx", { body: "" }, { body: " " }),
  },
  {
    id: "body-not-json",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "A signed body that is no JSON is answered with 4xx.",
    reason: HIDDEN,
    source: UNREADABLE,
    run: (s) =>
      s.answersWith(
        "4xx",
        ...["hello", "{", '{"events":[', "{'events': []}", "\u0000"].map((body) => ({ body })),
      ),
  },
  {
    id: "body-null",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "The signed body `null` is answered with 4xx.",
    reason: `It is JSON, and has no fields to look at. ${HIDDEN}`,
    source: UNREADABLE,
    run: (s) => s.answersWith("4xx", { body: "null" }),
  },
  {
    id: "body-not-an-envelope",
    group: "body",
    providers: BOTH,
    level: "SHOULD",
    what: "Signed JSON that is no delivery is answered with 4xx.",
    reason: HIDDEN,
    source: UNREADABLE,
    run: (s) => {
      const others =
        s.provider.name === "toloka" ? ['{"events":{}}', '{"events":null}', '{"events":[null]}'] : [];
      return s.answersWith(
        "4xx",
        ...["[]", "42", '"text"', "true", "{}", ...others].map((body) => ({ body })),
      );
    },
  },
  {
    id: "body-no-events",
    group: "body",
    providers: TOLOKA,
    level: "SHOULD",
    what: "An envelope without events is accepted.",
    reason: "There is nothing in it to fail at.",
    source: 'Toloka\'s documentation, "Using webhook subscriptions": events are a list',
    run: (s) => s.accepts({ events: [] }),
  },
  {
    id: "body-bare-event",
    group: "body",
    providers: TOLOKA,
    level: "SHOULD",
    what: "A `TEST_EVENT` without an envelope is accepted.",
    reason:
      "The documentation shows the test notification so; refused, the call that tests a subscription fails.",
    source: "Toloka's documentation of the test notification",
    run: (s) => {
      const { content } = s.event({ type: "TEST_EVENT" });
      return s.accepts({ events: [], body: JSON.stringify(content) });
    },
  },
  {
    id: "body-answered",
    group: "body",
    providers: BOTH,
    level: "MUST",
    what: "Whatever a signed body holds, it gets an answer.",
    reason:
      "An endpoint that dies of it, or keeps silent, takes others with it. Which answer is another matter.",
    source: "CWE-248",
    run: (s) => {
      const { events = [], raw } = undecodable(s);
      const bodies = ["", "null", "{", "[]", "42", '"text"', "{}", '{"events":[null]}', "[".repeat(20_000)];
      return s.answersWith("any answer", { events, body: raw }, ...bodies.map((body) => ({ body })));
    },
  },
];
