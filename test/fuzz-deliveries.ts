import { isUtf8 } from "node:buffer";
import type { IncomingDelivery } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import fc from "fast-check";

/** A request as it is on the wire: header lines in their order, and bytes. */
export interface Sent {
  readonly lines: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** What a platform has to tell, before it signs it. */
export interface Unsigned {
  /** When it is signed: Unix time in milliseconds. */
  readonly signedAt: number;
  readonly id: string;
  readonly body: string;
}

export type ProviderName = "toloka" | "prolific";

export function sign(provider: ProviderName, secret: string, { signedAt, id, body }: Unsigned): Sent {
  const signed =
    provider === "toloka"
      ? signToloka({ secret, body, timestamp: signedAt })
      : signProlific({ secret, body, id, timestamp: signedAt });
  return { lines: Object.entries(signed.headers), body: Buffer.from(signed.body) };
}

/** Names that every object in JavaScript knows. */
const INHERITED = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "get", "then"];

/** Any text that JavaScript can hold, halves of surrogate pairs among it. */
export const anyText = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.array(fc.nat({ max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom(...INHERITED),
);

export const secretText = fc
  .oneof(anyText, fc.string({ maxLength: 200 }), fc.constantFrom("12345", "sécret", "секрет", "🗝️"))
  .map((text) => text.trim())
  .filter((text) => text !== "");

export const jsonValue = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  { weight: 1, arbitrary: fc.dictionary(anyText, fc.jsonValue({ maxDepth: 0 }), { maxKeys: 3 }) },
  { weight: 1, arbitrary: anyText },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(null, true, "", 0, -1, 2 ** 53 + 2, 1e308, [], [[]], [{}]),
  },
);

const moreFields = fc.dictionary(anyText, jsonValue, { maxKeys: 2 });

const tolokaEnvelope = fc
  .array(
    fc
      .tuple(fc.constantFrom(...toloka.eventTypes), fc.uuid(), moreFields)
      .map(([type, uuid, more]) =>
        tolokaEvent(type, { ...more, uuid, type, event_time: "2020-02-14T12:22:58" }),
      ),
    { maxLength: 3 },
  )
  .map((events) => ({ events }));

const prolificEnvelope = fc
  .tuple(fc.constantFrom(...prolific.eventTypes), moreFields)
  .map(([type, more]) => prolificEvent(type, { ...more, event_type: type }));

/** What JSON can say, but JavaScript would not write: at the end of an object that is not empty. */
const oddity = fc.constantFrom(
  "",
  ', "n": 12345678901234567890123456789',
  ', "n": 1e999',
  ', "n": -0.0',
  ', "n": 1, "n": 2',
  ', "n": "\\ud800"',
  ', "n": "\ufffd"',
  ', "\\u0065vents": [], "\\u0065vent_type": "study.progress.change"',
  ', "__proto__": {"events": [], "event_type": "x"}',
);

/** An object that is not empty as someone's JSON: with any white space, in UTF-8 or in ASCII. */
function jsonText(object: fc.Arbitrary<object>): fc.Arbitrary<string> {
  const space = fc.constantFrom("", " ", "\n", "\r\n\t ");
  return fc
    .tuple(object, fc.constantFrom("", " ", "\t"), fc.boolean(), oddity, space, space)
    .map(([value, indent, isAscii, more, before, after]) => {
      const text = JSON.stringify(value, null, indent).replace(/\s*\}$/, (end) => more + end);
      return before + (isAscii ? inAscii(text) : text) + after;
    });
}

function inAscii(text: string): string {
  return text.replace(/[^\0-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Envelopes, or what is close to one: names that come twice, lists that are none, events that are none. */
const jsonLike: fc.Arbitrary<string> = fc.oneof(
  jsonText(tolokaEnvelope),
  jsonText(prolificEnvelope),
  jsonValue.map((value) => JSON.stringify(value)),
  fc
    .array(
      fc.tuple(
        fc.constantFrom("events", "events", "type", "event_type", "uuid", "0", "__proto__", "constructor"),
        fc.oneof(
          jsonValue,
          fc.constantFrom<unknown>("POOL_CLOSED", "study.progress.change", { length: 1, 0: {} }),
          fc.array(fc.oneof(jsonValue, fc.constantFrom<unknown>({}, [], null, "{}")), { maxLength: 3 }),
        ),
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map(
      (fields) => `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)}}`,
    ),
  fc.nat({ max: 500 }).map((depth) => `{"events":[${'{"deep":'.repeat(depth)}1${"}".repeat(depth)}]}`),
);

/** Times whose seconds have ten digits, as they will have until the year 2286. */
const signedAt = fc.integer({ min: 1_000_000_000_000, max: 9_999_999_999_999 });

/** What the platforms may have to tell, of any content. */
export const unsigned: Readonly<Record<ProviderName, fc.Arbitrary<Unsigned>>> = {
  toloka: fc.record({ signedAt, id: fc.uuid(), body: jsonText(tolokaEnvelope) }),
  prolific: fc.record({
    signedAt: signedAt.map((time) => Math.floor(time / 1000) * 1000),
    id: fc.uuid(),
    body: jsonText(prolificEnvelope),
  }),
};

/** One thing that happens to a delivery on its way. */
export interface Change {
  readonly change: keyof typeof CHANGES;
  /** Where, and how: each change takes them modulo what it has to choose from. */
  readonly at: number;
  readonly to: number;
  readonly text: string;
}

type Dice = Omit<Change, "change">;

function pick<T>(list: readonly T[], n: number): T {
  return list[n % list.length] as T;
}

function cut(whole: Buffer, from: number, to: number, between: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([whole.subarray(0, from), between, whole.subarray(to)]);
}

/** A change of the body at one place. */
const inBody =
  (changed: (body: Buffer, at: number, dice: Dice) => Buffer) =>
  (sent: Sent, dice: Dice): Sent => ({
    ...sent,
    body: changed(sent.body, dice.at % (sent.body.length + 1), dice),
  });

/** A change of all the body's text. */
const inText = (changed: (text: string, dice: Dice) => string) =>
  inBody((body, _, dice) => Buffer.from(changed(body.toString(), dice)));

/** A change of one header line's value at one place. */
const inValue =
  (changed: (value: string, at: number, dice: Dice) => string) =>
  (sent: Sent, dice: Dice): Sent =>
    withLine(sent, dice.to, ([name, value]) => [name, changed(value, dice.at % (value.length + 1), dice)]);

function withLine(
  sent: Sent,
  n: number,
  changed: (line: readonly [string, string]) => readonly [string, string],
): Sent {
  const index = n % Math.max(1, sent.lines.length);
  return { ...sent, lines: sent.lines.map((line, i) => (i === index ? changed(line) : line)) };
}

function withValues(sent: Sent, changed: (name: string, value: string) => string): Sent {
  return { ...sent, lines: sent.lines.map(([name, value]) => [name, changed(name, value)]) };
}

/** A change of the fields that Toloka's header lists. `others` are another delivery's. */
const inFields =
  (changed: (fields: readonly string[], dice: Dice, others: readonly string[]) => readonly string[]) =>
  (sent: Sent, dice: Dice, other: Sent): Sent => {
    const fieldsIn = (value: string) => /^\{(.*)\}$/.exec(value)?.[1]?.split(",");
    const others = other.lines.flatMap(([, value]) => fieldsIn(value) ?? []);
    return withValues(sent, (_, value) => {
      const fields = fieldsIn(value);
      return fields && others.length > 0 ? `{${changed(fields, dice, others)}}` : value;
    });
  };

const SPACES = [" ", "\t", "\n", "\r\n", "\0", "\u00a0", "\ufeff", "\u2028"];
const DIGITS = [..."0123456789abcdefABCDEFgzZ+/-_={},. \u0660\u0663\uff11\u00b2\u0131"];

const CHANGES = {
  "body: a bit flipped": inBody((body, at, { to }) =>
    cut(body, at, at + 1, Buffer.from([(body[at] ?? 0) ^ (1 << (to % 8))])),
  ),
  "body: bytes inserted": inBody((body, at, { text }) => cut(body, at, at, Buffer.from(text))),
  "body: bytes removed": inBody((body, at, { to }) => cut(body, at, at + 1 + (to % 8))),
  "body: bytes doubled": inBody((body, at, { to }) =>
    cut(body, at, at, body.subarray(at, at + 1 + (to % 8))),
  ),
  "body: cut off": inBody((body, at) => body.subarray(0, at)),
  "body: white space around": inBody((body, _, { at, to }) =>
    Buffer.from(`${at % 2 ? pick(SPACES, to) : ""}${body.toString("latin1")}${pick(SPACES, to)}`, "latin1"),
  ),
  "body: bytes that are read alike": inBody((body) =>
    Buffer.from(body.toString("latin1").replace("\xef\xbf\xbd", "\xff"), "latin1"),
  ),
  "body: written anew": inText((text) => {
    try {
      return JSON.stringify(JSON.parse(text));
    } catch {
      return text;
    }
  }),
  "body: normalized": inText((text, { to }) => text.normalize(pick(["NFC", "NFD", "NFKC"], to))),
  "body: in other letters": inText((text, { to }) => (to % 2 ? text.toUpperCase() : text.toLowerCase())),
  "body: the end of another": (sent: Sent, { at, to }: Dice, { body }: Sent): Sent => ({
    ...sent,
    body: Buffer.concat([
      sent.body.subarray(0, at % (sent.body.length + 1)),
      body.subarray(to % (body.length + 1)),
    ]),
  }),
  "body: of another": (sent: Sent, _: Dice, { body }: Sent): Sent => ({ ...sent, body }),
  "header: a character replaced": inValue(
    (value, at, { to }) => value.slice(0, at) + pick(DIGITS, to) + value.slice(at + 1),
  ),
  "header: a character inserted": inValue(
    (value, at, { to }) => value.slice(0, at) + pick(DIGITS, to) + value.slice(at),
  ),
  "header: a character removed": inValue((value, at) => value.slice(0, at) + value.slice(at + 1)),
  "header: any text": inValue((_, __, { text }) => text),
  "header: white space around": inValue((value, at, { text }) =>
    at % 2 ? pick(SPACES, text.length) + value : value + pick(SPACES, text.length),
  ),
  "header: in capitals from somewhere on": inValue(
    (value, at) => value.slice(0, at) + value.slice(at).toUpperCase(),
  ),
  "header: its digits in another script": inValue((value, at) =>
    value.replace(/\d/g, (digit) => String.fromCharCode((at % 2 ? 0x660 : 0xff10) + Number(digit))),
  ),
  "header: base64 for URLs": inValue((value) => value.replaceAll("+", "-").replaceAll("/", "_")),
  "header: base64 without padding": inValue((value) => value.replace(/=+$/, "")),
  "header: another spelling of the base64": inValue((value, at) =>
    value.replace(/[A-Za-z0-9+/](?==$)/, (digit) => {
      const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      return pick([...base64], base64.indexOf(digit) + (at % 4));
    }),
  ),
  "header: a number one more": inValue((value, at) =>
    value.replace(/\d{10,13}/, (digits) => String(Number(digits) + (at % 2 ? 1 : -1))),
  ),
  "header: a zero before a number": inValue((value, at, { text }) =>
    value.replace(pick([/\d{10,}/, /(?<=v=)\d/, /(?<=sign=)/], at + text.length), (digits) => `0${digits}`),
  ),
  // As Toloka's own signer does.
  "header: the zeros left out before the digits of the signature": (sent: Sent): Sent =>
    withValues(sent, (_, value) => value.replace(/(?<=sign=)0+/, "")),
  "header: fields of the signature in another order": inFields((fields, { at, to }) => [
    ...fields.slice(at % 3).map((field) => pick(["", " ", "\t"], to) + field),
    ...fields.slice(0, at % 3),
  ]),
  "header: a field of the signature twice": inFields((fields, { at, to }, others) => [
    ...fields.slice(0, at % 4),
    pick(to % 2 ? fields : others, to >> 1),
    ...fields.slice(at % 4),
  ]),
  "header: a field of the signature of another": inFields((fields, { at }, others) =>
    fields.map((field, i) => (i === at % 3 ? pick(others, i) : field)),
  ),
  "header: a field of the signature that is none": inFields((fields, { to, text }) => [
    ...fields,
    pick(["kid=7", "v", "=", "ts =", "", `${text}=${text}`], to),
  ]),
  "header: another version": (sent: Sent, { at }: Dice): Sent =>
    withValues(sent, (_, value) => value.replace(/v=\d+/, `v=${at % 12}`)),
  "header: its name in other letters": (sent: Sent, { to, at }: Dice): Sent =>
    withLine(sent, to, ([name, value]) => [
      name.replace(/[a-z]/g, (letter, i) => (at & (1 << (i % 30)) ? letter.toUpperCase() : letter)),
      value,
    ]),
  "header: left out": (sent: Sent, { to }: Dice): Sent => ({
    ...sent,
    lines: sent.lines.filter((_, i) => i !== to % sent.lines.length),
  }),
  "header: twice": (sent: Sent, { to }: Dice): Sent => ({
    ...sent,
    lines: [...sent.lines, ...sent.lines.slice(to % Math.max(1, sent.lines.length)).slice(0, 1)],
  }),
  "header: another's beside it": (sent: Sent, { to }: Dice, { lines }: Sent): Sent => ({
    ...sent,
    lines: to % 2 ? [...sent.lines, pick(lines, to >> 1)] : [pick(lines, to >> 1), ...sent.lines],
  }),
  "header: of another": (sent: Sent, { to }: Dice, { lines }: Sent): Sent => {
    const [name, value] = pick(lines, to);
    return { ...sent, lines: sent.lines.map((line) => (line[0] === name ? [name, value] : line)) };
  },
  "headers: of another": (sent: Sent, _: Dice, { lines }: Sent): Sent => ({ ...sent, lines }),
  "headers: two values swapped": (sent: Sent, { at, to }: Dice): Sent => {
    const [a, b] = [at % Math.max(1, sent.lines.length), to % Math.max(1, sent.lines.length)];
    const value = (i: number) => sent.lines[i]?.[1] ?? "";
    return {
      ...sent,
      lines: sent.lines.map(([name, own], i) => [name, i === a ? value(b) : i === b ? value(a) : own]),
    };
  },
  "the same signed bytes, cut elsewhere": cutElsewhere,
};

/** What is signed in front of the body and the body, with the boundary between them moved. */
function cutElsewhere(sent: Sent, { at, to }: Dice): Sent {
  const headerOf = (name: string) => sent.lines.find((line) => line[0].toLowerCase() === name)?.[1] ?? "";
  const fields = /^\{v=(.*), ts=(.*), (sign=.*)\}$/.exec(headerOf("toloka-signature"));
  if (fields === null) {
    const signed = Buffer.concat([Buffer.from(headerOf("x-prolific-request-timestamp")), sent.body]);
    const length = at % 16;
    const lines = withValues(sent, (name, value) =>
      name.toLowerCase() === "x-prolific-request-timestamp" ? signed.toString("latin1", 0, length) : value,
    ).lines;
    return { lines, body: signed.subarray(length) };
  }
  const [, v, ts, sign] = fields;
  const signed = Buffer.concat([Buffer.from(`${ts}.${v}.`), sent.body]);
  const dots = [...signed.keys()].filter((i) => signed[i] === 0x2e);
  const first = dots[at % Math.max(1, dots.length - 1)] ?? 0;
  const second = dots[(at % Math.max(1, dots.length - 1)) + 1 + (to % 2)] ?? signed.length;
  const header = `{v=${signed.toString("latin1", first + 1, second)}, ts=${signed.toString("latin1", 0, first)}, ${sign}}`;
  return {
    lines: withValues(sent, (name, value) => (name.toLowerCase() === "toloka-signature" ? header : value))
      .lines,
    body: signed.subarray(second + 1),
  };
}

const change: fc.Arbitrary<Change> = fc.record({
  change: fc.constantFrom(...(Object.keys(CHANGES) as (keyof typeof CHANGES)[])),
  at: fc.nat(),
  to: fc.nat(),
  text: anyText,
});

export const changes = fc.oneof(
  { weight: 9, arbitrary: fc.array(change, { minLength: 1, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.constant<Change[]>([]) },
);

/** A delivery as it arrives after all that. `other` is another one that whoever changes it has seen. */
export function changed(sent: Sent, all: readonly Change[], other: Sent): Sent {
  return all.reduce((before, { change, ...dice }) => CHANGES[change](before, dice, other), sent);
}

const SIGNATURE_HEADERS = [
  "toloka-signature",
  "Toloka-Signature",
  "x-prolific-request-signature",
  "x-prolific-request-timestamp",
  "x-event-id",
  "x-timestamp",
];

const hexDigits = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes).toString("hex"));

/** What stands in such a header, made up: close to a signature, far from one, and beyond measure. */
const madeUpValue = fc.oneof(
  fc.tuple(hexDigits(32), fc.nat()).map(([sign, ts]) => `{v=1, ts=${1_700_000_000_000 + ts}, sign=${sign}}`),
  fc.tuple(anyText, anyText, anyText).map(([v, ts, sign]) => `{v=${v}, ts=${ts}, sign=${sign}}`),
  fc
    .dictionary(anyText, anyText)
    .map((fields) => `{${Object.entries(fields).map((field) => field.join("="))}}`),
  hexDigits(32).map((digits) => Buffer.from(digits, "hex").toString("base64")),
  fc.nat().map((seconds) => String(1_600_000_000 + seconds)),
  fc.constantFrom(
    "",
    "{}",
    "{=}",
    "{,}",
    "{v=1, ts=1, sign=}",
    "null",
    "0",
    "1e9",
    "Infinity",
    "0x10",
    "identity",
    " Identity ",
  ),
  anyText,
  fc
    .tuple(fc.constantFrom("{", "=", ",", " ", "0", "a", "{v=", "A=="), fc.nat({ max: 20_000 }))
    .map(([part, n]) => part.repeat(n)),
);

/** Header lines that nobody signed. */
export const madeUpLines: fc.Arbitrary<Sent["lines"]> = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...SIGNATURE_HEADERS) },
      fc.constantFrom("content-encoding", "content-length"),
      anyText,
    ),
    madeUpValue,
  ),
  { maxLength: 6 },
);

/** Bytes of any kind: none that are text, text that is no JSON, JSON that is no envelope, and envelopes. */
export const anyBody: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  anyText.map((text) => Buffer.from(text)),
  fc
    .tuple(fc.constantFrom("", "\ufeff", " ", "\0"), jsonLike, fc.constantFrom("", "\n", ",", "\0", "}"))
    .map((parts) => Buffer.from(parts.join(""))),
  fc
    .tuple(jsonLike, fc.constantFrom<BufferEncoding>("utf16le", "latin1"))
    .map(([text, encoding]) => Buffer.from(text, encoding)),
);

/** Ways in which hosts hand headers over. */
export const headerForm = fc.constantFrom("record", "get", "Headers");
type HeaderForm = typeof headerForm extends fc.Arbitrary<infer Form> ? Form : never;

export function headersIn(form: HeaderForm, lines: Sent["lines"]): IncomingDelivery["headers"] {
  if (form === "Headers") {
    try {
      return new Headers(lines.map(([name, value]): [string, string] => [name, value]));
    } catch {
      // Not every line can be one of a real request.
    }
  }
  const byName = new Map<string, string[]>();
  for (const [name, value] of lines) {
    const key = form === "get" ? name.toLowerCase() : name;
    byName.set(key, [...(byName.get(key) ?? []), value]);
  }
  if (form === "get") return { get: (name) => byName.get(name.toLowerCase())?.join(", ") };
  return Object.fromEntries(
    [...byName].map(([name, values]) => [name, values.length > 1 ? values : values[0]]),
  );
}

/** Ways in which hosts hand bytes over. */
export const bodyForm = fc.constantFrom("Buffer", "ArrayBuffer", "DataView", "text", "function", "promise");
export type BodyForm = typeof bodyForm extends fc.Arbitrary<infer Form> ? Form : never;

export function bodyIn(form: BodyForm, body: Buffer): IncomingDelivery["body"] {
  switch (form) {
    case "Buffer":
      return body;
    case "ArrayBuffer":
      return Uint8Array.from(body).buffer;
    case "DataView": {
      // In the midst of others' bytes, as Node's own buffers are.
      const pool = Buffer.concat([Buffer.from("[1]"), body, Buffer.from("}")]);
      return new DataView(pool.buffer, pool.byteOffset + 3, body.length);
    }
    case "text":
      return isUtf8(body) ? body.toString() : body;
    case "function":
      return () => body;
    case "promise":
      return async () => body;
  }
}
