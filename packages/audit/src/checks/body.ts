import { toAscii } from "@crowdhook/core/inspect";
import { sendsManyEvents } from "../capabilities.js";
import type { RunnableCheck } from "../check.js";
import type { Draft } from "../delivery.js";
import type { Session } from "../session.js";
import { SIGNATURES } from "../sources.js";
import { TOLOKA_BODY_CHECKS } from "./providers/toloka.js";

const RAW_BODY = `${SIGNATURES}: the body is signed as it is sent`;
const JSON_TEXT = "RFC 8259, sections 2 and 7";
const UTF8 = "RFC 8259, section 8.1";
const BAD_REQUEST = "RFC 9110, section 15.5.1";

const UNSIGNED_BYTES =
  "Otherwise the endpoint verifies other bytes than it received, and accepts bytes that nobody signed";
const LOST =
  "An endpoint that parses and serializes the body again computes another signature and loses the event.";
const HIDDEN = "A 2xx hides the loss, and a 5xx makes the provider send the delivery again and again.";
const NO_FAILURE = "The endpoint may read or refuse it, but it is not a failure of the app.";

/** A signed delivery whose body is not written as the provider's serializer writes it. */
function withRewrittenBody(session: Session, rewrite: (json: string) => string, fields = {}): Draft {
  const events = [session.event(fields)];
  return { events, body: rewrite(session.sender.composeBody(events)) };
}

const indent = (json: string) => JSON.stringify(JSON.parse(json), undefined, 2);
const compact = (json: string) => JSON.stringify(JSON.parse(json));
const escapeHyphens = (json: string) => json.replaceAll("-1", "\\u002d1");

const BYTE_ORDER_MARK = Buffer.from("\uFEFF");
const REPLACEMENT_CHARACTER = Buffer.from("\uFFFD");

/** Returns an event with a byte that is not UTF-8: its body as it is, and as a decoder reads it. */
function composeInvalidUtf8(session: Session) {
  const events = [session.event({ note: "@" })];
  const [before = "", after = ""] = session.sender.composeBody(events).split("@");
  const around = (bytes: Uint8Array) => Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]);
  return { events, raw: around(Buffer.from([0xff])), decoded: around(REPLACEMENT_CHARACTER) };
}

export const BODY_CHECKS: readonly RunnableCheck[] = [
  {
    id: "body-indented",
    group: "body",
    level: "MUST",
    requirement: "A body is accepted with line breaks and other white space, and without any.",
    reason: LOST,
    source: RAW_BODY,
    run: (session) =>
      session.expectAccepted(
        withRewrittenBody(session, indent),
        withRewrittenBody(session, compact),
        withRewrittenBody(session, (json) => `${json}\n`),
        withRewrittenBody(session, (json) => ` \r\n\t${json} `),
      ),
  },
  {
    id: "body-escapes",
    group: "body",
    level: "MUST",
    requirement: "A body is accepted with escapes and numbers that have a shorter form.",
    reason: LOST,
    source: JSON_TEXT,
    run: (session) =>
      session.expectAccepted(
        withRewrittenBody(session, (json) =>
          escapeHyphens(json).replace(/}(?=[\]}]*$)/, ', "n": 1.0, "m": 1E2, "s": "a\\/b"}'),
        ),
      ),
  },
  {
    id: "body-not-ascii",
    group: "body",
    level: "MUST",
    requirement: "A body is accepted with text in any language, as UTF-8 and as escapes.",
    reason:
      "An endpoint that decodes or escapes text before it verifies computes another signature and loses the event.",
    source: UTF8,
    run: (session) => {
      const fields = { note: "é e\u0301 ß Привет 例 \u2028 😀" };
      return session.expectAccepted(
        withRewrittenBody(session, compact, fields),
        withRewrittenBody(session, (json) => toAscii(compact(json)), fields),
      );
    },
  },
  {
    id: "body-rewritten",
    group: "body",
    level: "MUST",
    requirement: "The signed JSON written with other bytes is refused.",
    reason: `${UNSIGNED_BYTES}.`,
    source: RAW_BODY,
    run: (session) =>
      session.expectRefused(
        ...[indent, compact, escapeHyphens].map((rewrite): Draft => {
          const events = [session.event({ note: "a, b: c" })];
          const signedBody = session.sender.composeBody(events);
          const body = rewrite(signedBody);
          // The provider may write JSON in this form itself.
          return body === signedBody
            ? { events, body, signedBody: indent(body) }
            : { events, body, signedBody };
        }),
      ),
  },
  {
    id: "body-decoded",
    group: "body",
    level: "MUST",
    requirement: "A body that is not UTF-8 is refused if the signature is over its decoded text.",
    reason: `${UNSIGNED_BYTES}. It then also refuses such bytes with a valid signature.`,
    source: RAW_BODY,
    run: (session) => {
      const { events, raw, decoded } = composeInvalidUtf8(session);
      return session.expectRefused({ events, body: raw, signedBody: decoded });
    },
  },
  {
    id: "body-mark-added",
    group: "body",
    level: "MUST",
    requirement: "A byte order mark that was added or removed after signing is detected.",
    reason: `${UNSIGNED_BYTES}: decoders drop the mark silently.`,
    source: RAW_BODY,
    run: (session) => {
      const events = [session.event()];
      const plain = Buffer.from(session.sender.composeBody(events));
      const marked = Buffer.concat([BYTE_ORDER_MARK, plain]);
      return session.expectRefused(
        { events, body: marked, signedBody: plain },
        { events, body: plain, signedBody: marked },
      );
    },
  },
  {
    id: "body-mark",
    group: "body",
    level: "SHOULD",
    requirement: "A signed body with a byte order mark is answered with a status below 500.",
    reason: NO_FAILURE,
    source: UTF8,
    run: (session) =>
      session.expectStatus(
        "an answer below 500",
        withRewrittenBody(session, (json) => `\uFEFF${json}`),
      ),
  },
  {
    id: "body-not-utf8",
    group: "body",
    level: "SHOULD",
    requirement: "A signed body that is not UTF-8 is answered with a status below 500.",
    reason: NO_FAILURE,
    source: UTF8,
    run: (session) => {
      const { events, raw } = composeInvalidUtf8(session);
      return session.expectStatus("an answer below 500", { events, body: raw });
    },
  },
  {
    id: "body-empty",
    group: "body",
    level: "SHOULD",
    requirement: "A signed body that is empty or blank is answered with 4xx.",
    reason: HIDDEN,
    source: BAD_REQUEST,
    run: (session) => session.expectStatus("4xx", { body: "" }, { body: " " }),
  },
  {
    id: "body-not-json",
    group: "body",
    level: "SHOULD",
    requirement: "A signed body that is not JSON is answered with 4xx.",
    reason: HIDDEN,
    source: BAD_REQUEST,
    run: (session) =>
      session.expectStatus(
        "4xx",
        ...["hello", "{", '{"events":[', "{'events': []}", "\u0000"].map((body) => ({ body })),
      ),
  },
  {
    id: "body-null",
    group: "body",
    level: "SHOULD",
    requirement: "The signed body `null` is answered with 4xx.",
    reason: `It is valid JSON, but reading a field of it fails. ${HIDDEN}`,
    source: BAD_REQUEST,
    run: (session) => session.expectStatus("4xx", { body: "null" }),
  },
  {
    id: "body-not-an-envelope",
    group: "body",
    level: "SHOULD",
    requirement: "Signed JSON that is not a delivery is answered with 4xx.",
    reason: HIDDEN,
    source: BAD_REQUEST,
    run: (session) => {
      const { sender } = session;
      // In place of the list of events: an object, null, and a list of null.
      const envelopes = sendsManyEvents(sender)
        ? ["{}", "null", "[null]"].map((list) => sender.composeBody([]).replace("[]", list))
        : [];
      return session.expectStatus(
        "4xx",
        ...["[]", "42", '"text"', "true", "{}", ...envelopes].map((body) => ({ body })),
      );
    },
  },
  {
    id: "body-no-events",
    group: "body",
    appliesTo: sendsManyEvents,
    level: "SHOULD",
    requirement: "An envelope without events is accepted.",
    reason: "It contains nothing that could fail.",
    source: 'Toloka\'s documentation, "Using webhook subscriptions": events are a list',
    run: (session) => session.expectAccepted({ events: [] }),
  },
  ...TOLOKA_BODY_CHECKS,
  {
    id: "body-answered",
    group: "body",
    level: "MUST",
    requirement: "Every signed body gets an answer, whatever it contains.",
    reason:
      "An endpoint that crashes or hangs takes other deliveries with it. Other checks judge the status of the answer.",
    source: "CWE-248",
    run: (session) => {
      const { events, raw } = composeInvalidUtf8(session);
      const bodies = ["", "null", "{", "[]", "42", '"text"', "{}", '{"events":[null]}', "[".repeat(20_000)];
      return session.expectStatus("any answer", { events, body: raw }, ...bodies.map((body) => ({ body })));
    },
  },
];
