import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { createReceiver, type Provider, type ReceivedEvent, type Reply } from "@crowdhook/core";
import { inspect } from "@crowdhook/core/inspect";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import fc from "fast-check";
import { afterAll, afterEach, beforeEach, describe, test, vi } from "vitest";
import * as node from "../packages/core/src/signature/hmac.node.js";
import * as web from "../packages/core/src/signature/hmac.web.js";
import {
  anyBody,
  anyText,
  type BodyForm,
  bodyForm,
  bodyIn,
  changed,
  changes,
  headerForm,
  headersIn,
  jsonValue,
  madeUpLines,
  type ProviderName,
  type Sent,
  secretText,
  sign,
  unsigned,
} from "./fuzz-deliveries.js";
import { programs, run, setups } from "./fuzz-model.js";

/** How long to fuzz, in seconds; without it a fixed number of cases. */
const SECONDS = numberIn("FUZZ");
/** Repeats a run: a failing property prints its seed. A run with FUZZ has a new seed, other runs have the same one. */
const SEED = numberIn("FUZZ_SEED") ?? (SECONDS === undefined ? 1 : undefined);

function numberIn(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number)) {
    throw new TypeError(`${name} must be a number, not ${JSON.stringify(text)}.`);
  }
  return number;
}

const sentences: string[] = [];
const ran: string[] = [];

/** A property as a test. `cases` is how many it is tried with, unless FUZZ says for how long. */
function property<Input>(sentence: string, cases: number, about: fc.IAsyncProperty<Input>): void {
  sentences.push(sentence);
  test(
    sentence,
    async () => {
      const share = SECONDS && (SECONDS * 1000) / sentences.length;
      const details = await fc.check(about, {
        ...(SEED !== undefined && { seed: SEED }),
        ...(share
          ? { numRuns: Number.MAX_SAFE_INTEGER, plugins: [fc.interruptAfterTimeLimit(share)] }
          : { numRuns: cases }),
      });
      ran.push(`${String(details.numRuns).padStart(8)} ${sentence}`);
      if (details.failed) {
        throw new Error(await fc.asyncDefaultReportMessage(details), { cause: details.errorInstance });
      }
    },
    (SECONDS ?? 120) * 2000 + 60_000,
  );
}

afterAll(() => console.log(`Cases by property:\n${ran.join("\n")}`));

const PROVIDERS = { toloka, prolific } as unknown as Record<ProviderName, Provider>;

/** What the operator was told. */
let logged = "";
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation((...line) => {
    logged += line.join();
  });
});

/** Every code that a reply can have, and its status. */
const STATUS: Readonly<Record<string, number>> = {
  METHOD_NOT_ALLOWED: 405,
  BODY_TOO_LARGE: 413,
  ENCODING_UNSUPPORTED: 415,
  SIGNATURE_MISSING: 401,
  SIGNATURE_MALFORMED: 401,
  SIGNATURE_MISMATCH: 401,
  TIMESTAMP_OUT_OF_TOLERANCE: 401,
  BODY_NOT_JSON: 400,
  ENVELOPE_INVALID: 400,
  BODY_ABORTED: 400,
  EVENT_FAILED: 500,
  EVENT_BUSY: 503,
  SECRET_UNAVAILABLE: 503,
  STORE_UNAVAILABLE: 503,
  SINK_UNAVAILABLE: 503,
  OVERLOADED: 503,
  SHUTTING_DOWN: 503,
  BODY_UNAVAILABLE: 500,
  INTERNAL_ERROR: 500,
};

/** A reply's code, "" if it is a 200. Throws unless it is one of the table's, in every part. */
function codeOf({ status, headers, body }: Reply): string {
  const { code = "", message, ...counts } = JSON.parse(body);
  assert.equal(status, code === "" ? 200 : STATUS[code]);
  assert.equal(typeof message, code === "" ? "undefined" : "string");
  assert.equal(headers["content-length"], String(Buffer.byteLength(body)));
  assert.equal(headers.allow, status === 405 ? "POST" : undefined);
  assert.equal(headers["retry-after"], status === 503 ? "5" : undefined);
  for (const [outcome, count] of Object.entries(counts)) {
    assert.match(outcome, /^(handled|ignored|duplicate|failed|busy|unrecognized)$/);
    assert.ok(Number.isSafeInteger(count) && (count as number) >= 0);
  }
  return code;
}

/** A receiver with a listener for everything that hears which events it handles. */
function listening(name: ProviderName, options: Parameters<typeof createReceiver>[1]) {
  const receiver = createReceiver(PROVIDERS[name], options);
  const handled = new Set<ReceivedEvent>();
  receiver.onAny((event) => handled.add(event));
  receiver.onUnrecognized((event) => handled.add(event));
  return { receiver, handled };
}

/** HMAC-SHA256 as RFC 2104 defines it. */
function hmac(secret: string, text: Uint8Array): Buffer {
  const sha256 = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  const bytes = Buffer.from(secret);
  const key = Buffer.alloc(64);
  (bytes.length > 64 ? sha256(bytes) : bytes).copy(key);
  return sha256(
    key.map((byte) => byte ^ 0x5c),
    sha256(
      key.map((byte) => byte ^ 0x36),
      text,
    ),
  );
}

/** What a request's headers say of its signature, by the platforms' documentation. */
interface Reading {
  readonly prefix: string;
  readonly digest: Buffer;
  /** Unix time in milliseconds. */
  readonly signedAt: number;
  /** Whether the platform would write it so. What is spelt otherwise may be refused as malformed. */
  readonly isUsual: boolean;
}

/** @param get A header's value, its lines joined by ", "; "" if there is none. */
const read: Record<ProviderName, (get: (name: string) => string) => Reading | undefined> = {
  toloka(get) {
    const header = get("toloka-signature");
    if (!header.startsWith("{") || !header.endsWith("}")) return undefined;
    const fields = header
      .slice(1, -1)
      .split(",")
      .map((field) => field.split("=").map((part) => part.trim()));
    const only = (name: string) => {
      const [field, ...others] = fields.filter(([key]) => key === name);
      return field?.length === 2 && others.length === 0 ? field[1] : undefined;
    };
    const [v, ts, digits] = [only("v"), only("ts"), only("sign")];
    if (v === undefined || ts === undefined || digits === undefined) return undefined;
    if (/[^0-9]/.test(v + ts) || v === "" || ts === "" || !/^[0-9a-f]{40,64}$/.test(digits)) return undefined;
    return {
      prefix: `${ts}.${v}.`,
      digest: Buffer.from(digits.padStart(64, "0"), "hex"),
      signedAt: Number(ts),
      isUsual: /^\{v=\d, ts=\d{13}, sign=\w+\}$/.test(header),
    };
  },
  prolific(get) {
    const signature = get("x-prolific-request-signature");
    const prefix = get("x-prolific-request-timestamp");
    const digest = Buffer.from(signature, "base64");
    if (digest.length !== 32 || digest.toString("base64") !== signature) return undefined;
    if (/[^0-9]/.test(prefix) || prefix === "") return undefined;
    return { prefix, digest, signedAt: Number(prefix) * 1000, isUsual: prefix.length === 10 };
  },
};

/** What the body holds as events, by the platforms' documentation. */
const eventsIn: Record<ProviderName, (body: unknown) => unknown[] | undefined> = {
  toloka: (body) => {
    if (!isObject(body)) return undefined;
    if (Object.keys(body).includes("events")) {
      return Array.isArray(body.events) && body.events.every(isObject) ? body.events : undefined;
    }
    return typeof body.type === "string" ? [body] : undefined;
  },
  prolific: (body) => (isObject(body) && typeof body.event_type === "string" ? [body] : undefined),
};

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const SECRET = "12345";
const NOW = 1_700_000_000_000;

/** A request that is signed as the platforms document it. */
function signedLines(name: ProviderName, body: Uint8Array, id: string): [string, string][] {
  const seconds = String(NOW / 1000);
  const digest = hmac(SECRET, Buffer.concat([Buffer.from(name === "toloka" ? `${NOW}.1.` : seconds), body]));
  return name === "toloka"
    ? [["Toloka-Signature", `{v=1, ts=${NOW}, sign=${digest.toString("hex")}}`]]
    : [
        ["X-Prolific-Request-Timestamp", seconds],
        ["X-Prolific-Request-Signature", digest.toString("base64")],
        ["X-Event-ID", id],
        ["X-Timestamp", seconds],
      ];
}

function jsonIn(body: Buffer): { value: unknown } | undefined {
  try {
    return isUtf8(body) ? { value: JSON.parse(body.toString()) } : undefined;
  } catch {
    return undefined;
  }
}

/** Without those that have an id that came before. */
function onceEach(events: readonly unknown[]): unknown[] {
  const ids = new Set<unknown>();
  return events.filter((event) => {
    const { uuid } = event as { uuid?: unknown };
    if (typeof uuid !== "string" || uuid === "" || uuid.length > 255) return true;
    return !ids.has(uuid) && ids.add(uuid);
  });
}

/** What only a mistaken host would pass. */
const noRequest = fc.oneof(
  fc.anything(),
  fc.record({
    method: fc.oneof(fc.constant("POST"), fc.anything()),
    headers: fc.oneof(
      fc.anything(),
      fc.dictionary(anyText, fc.anything()),
      fc.anything().map((value) => ({ get: () => value })),
      fc.constant({ get: throwing }),
    ),
    body: fc.oneof(
      fc.anything(),
      fc.func(fc.anything()),
      fc.anything().map((value) => async () => value),
      fc.anything().map((value) => () => Promise.reject(value)),
      fc.anything().map((hint) => () => ({ code: "BODY_UNAVAILABLE", hint })),
    ),
  }),
);

/** A header's value, "" if there is none. `Headers` have their own way with white space. */
function valueIn(headers: unknown, lines: Sent["lines"], name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? "";
  const own = lines.filter(([header]) => header.toLowerCase() === name);
  return own.map(([, value]) => value).join(", ");
}

/** What a host may have in place of a body, and what is answered then. */
const NO_BODIES: Readonly<Record<string, { readonly body: unknown; readonly code: string }>> = {
  "a reader that throws": { body: throwing, code: "BODY_ABORTED" },
  "a reader that rejects": { body: async () => throwing(), code: "BODY_ABORTED" },
  "a reader that refuses": { body: () => ({ code: "BODY_TOO_LARGE" }), code: "BODY_TOO_LARGE" },
  "a reader with a code of its own": { body: () => ({ code: "SHUTTING_DOWN" }), code: "BODY_UNAVAILABLE" },
  "a parsed body": { body: { events: [] }, code: "BODY_UNAVAILABLE" },
  "a parsed body like a failure": { body: { code: "BODY_TOO_LARGE" }, code: "BODY_UNAVAILABLE" },
  nothing: { body: undefined, code: "BODY_UNAVAILABLE" },
};

function throwing(): never {
  throw new Error("broken");
}

describe.each(["toloka", "prolific"] as const)("%s", (name) => {
  property(
    `${name}: a delivery that was changed on its way is accepted only if these very bytes were signed, and in time`,
    5_000,
    fc.asyncProperty(
      fc.record({
        secrets: fc.array(secretText, { minLength: 1, maxLength: 3 }),
        signer: fc.nat({ max: 2 }),
        first: unsigned[name],
        other: unsigned[name],
        otherSecret: fc.oneof(fc.nat({ max: 2 }), secretText),
        all: changes,
        inHeaders: headerForm,
        inBody: bodyForm,
        isInspected: fc.boolean(),
        tolerance: fc.constantFrom(300, 0, 0.5, 86_400),
        isClockRight: fc.boolean(),
        aside: fc.oneof(
          { weight: 4, arbitrary: fc.constant(0) },
          { weight: 1, arbitrary: fc.constantFrom(-300_001, -300_000, -500, -1, 1, 501, 300_000, 300_001) },
          { weight: 1, arbitrary: fc.integer({ min: -90_000_000, max: 90_000_000 }) },
        ),
      }),
      async ({
        secrets,
        signer,
        first,
        other,
        otherSecret,
        all,
        inHeaders,
        inBody,
        isInspected,
        tolerance,
        isClockRight,
        aside,
      }) => {
        const secret = secrets[signer % secrets.length] as string;
        const genuine = sign(name, secret, first);
        const another = sign(
          name,
          typeof otherSecret === "string" ? otherSecret : (secrets[otherSecret] ?? secret),
          other,
        );
        const sent = changed(genuine, all, another);
        const headers = headersIn(inHeaders, sent.lines);
        const get = (wanted: string) => valueIn(headers, sent.lines, wanted);

        const reading = read[name](get);
        const signed = reading && Buffer.concat([Buffer.from(reading.prefix), sent.body]);
        const fits = secrets.some((known) => signed && hmac(known, signed).equals(reading.digest));
        // By a clock of its own the time of a changed header is in time, so that nothing hides behind it.
        const now = ((isClockRight ? undefined : reading?.signedAt) ?? first.signedAt) + aside;
        const isInTime = Math.abs(now - (reading?.signedAt ?? Number.NaN)) <= tolerance * 1000;

        logged = "";
        const clock = () => now;
        const { receiver, handled } = listening(name, { secret: secrets, tolerance, clock });
        const reply = await receiver.handle({ method: "POST", headers, body: bodyIn(inBody, sent.body) });
        const code = codeOf(reply);

        if (!fits || !isInTime) {
          assert.equal(reply.status, 401);
          if (fits && reading?.isUsual) assert.equal(code, "TIMESTAMP_OUT_OF_TOLERANCE");
        } else if (reply.status === 401) {
          assert.equal(code, "SIGNATURE_MALFORMED");
          assert.equal(reading?.isUsual, false);
        }
        const isSentAsSigned = [genuine, another].some(({ body }) => body.equals(sent.body));
        const events =
          reply.status === 401 || !isSentAsSigned ? [] : eventsIn[name](JSON.parse(sent.body.toString()));
        assert.deepEqual(
          [...handled].map(({ data }) => data),
          events ?? [],
        );
        if (reply.status !== 401 && !isSentAsSigned) assert.equal(code, "BODY_NOT_JSON");

        for (const text of [reply.body, logged]) {
          for (const known of secrets) {
            if (/^(?=.*\D).{12,}$/.test(known)) assert.ok(!text.includes(known));
            if (signed) assert.ok(!text.includes(hmac(known, signed).toString("hex")));
            if (signed) assert.ok(!text.includes(hmac(known, signed).toString("base64")));
          }
        }

        if (!isInspected) return;
        const found = await inspect(
          PROVIDERS[name],
          { headers: { get }, body: sent.body },
          { secrets, tolerance, now },
        );
        assert.equal(found.code ?? "", code);
      },
    ),
  );

  property(
    `${name}: what is signed is answered by what it is, and heard as it was sent`,
    8_000,
    fc.asyncProperty(anyBody, fc.uuid(), headerForm, bodyForm, async (body, id, inHeaders, inBody) => {
      const { receiver, handled } = listening(name, { secret: SECRET, clock: () => NOW });
      const headers = headersIn(inHeaders, signedLines(name, body, id));
      const reply = await receiver.handle({ method: "POST", headers, body: bodyIn(inBody, body) });
      const json = jsonIn(body);
      const events = json && eventsIn[name](json.value);
      assert.equal(codeOf(reply), events ? "" : json ? "ENVELOPE_INVALID" : "BODY_NOT_JSON");
      assert.deepEqual(
        [...handled].map(({ data }) => data),
        name === "toloka" ? onceEach(events ?? []) : (events ?? []),
      );
    }),
  );

  property(
    `${name}: what nobody signed is refused, whatever it is, and reaches no listener`,
    10_000,
    fc.asyncProperty(
      fc.record({
        method: fc.oneof(
          { weight: 9, arbitrary: fc.constant("POST") },
          fc.constantFrom("post", "GET", ""),
          anyText,
        ),
        lines: madeUpLines,
        body: anyBody,
        inHeaders: headerForm,
        inBody: fc.oneof(
          { weight: 6, arbitrary: bodyForm },
          { weight: 1, arbitrary: fc.constantFrom(...Object.keys(NO_BODIES)) },
        ),
        maxBodySize: fc.constantFrom(1, 20, 1_000_000),
      }),
      async ({ method, lines, body, inHeaders, inBody, maxBodySize }) => {
        const { receiver, handled } = listening(name, { secret: SECRET, clock: () => NOW, maxBodySize });
        const headers = headersIn(inHeaders, lines);
        const noBody = NO_BODIES[inBody];
        const handedOver = noBody ? noBody.body : bodyIn(inBody as BodyForm, body);
        const reply = await receiver.handle({ method, headers, body: handedOver as never });
        const code = codeOf(reply);
        const encoding = valueIn(headers, lines, "content-encoding");
        if (method !== "POST") assert.equal(code, "METHOD_NOT_ALLOWED");
        else if (!/^(?:\s*(?:identity|utf-?8)(?:\s*,\s*(?:identity|utf-?8))*\s*)?$/i.test(encoding))
          assert.equal(code, "ENCODING_UNSUPPORTED");
        else if (noBody) assert.equal(code, noBody.code);
        else if (body.length > maxBodySize) assert.equal(code, "BODY_TOO_LARGE");
        else assert.match(code, /^SIGNATURE_(MISSING|MALFORMED|MISMATCH)$/);
        assert.equal(handled.size, 0);
      },
    ),
  );

  property(
    `${name}: what is no request at all is answered, too`,
    4_000,
    fc.asyncProperty(noRequest, fc.boolean(), async (incoming, isWatched) => {
      const { receiver, handled } = listening(name, {
        secret: SECRET,
        ...(isWatched && { observe: throwing }),
      });
      const code = codeOf(await receiver.handle(incoming as never));
      assert.notEqual(code, "");
      assert.equal(handled.size, 0);
    }),
  );
});

property(
  "prolific: the same signed bytes are no event if time and body are cut apart elsewhere, even by a clock that agrees",
  1_000,
  fc.asyncProperty(secretText, unsigned.prolific, async (secret, told) => {
    const { lines, body } = sign("prolific", secret, told);
    const bytes = Buffer.concat([Buffer.from(String(told.signedAt / 1000)), body]);
    for (let length = 0; length <= 13; length++) {
      const time = bytes.toString("latin1", 0, length);
      const clock = () => (Number(time) || 0) * 1000;
      const { receiver, handled } = listening("prolific", { secret, clock });
      const headers = { ...Object.fromEntries(lines), "x-prolific-request-timestamp": time };
      const reply = await receiver.handle({ method: "POST", headers, body: bytes.subarray(length) });
      const isCutElsewhere = length !== 10;
      const isTime = length >= 1 && length <= 10;
      assert.equal(codeOf(reply), !isTime ? "SIGNATURE_MALFORMED" : isCutElsewhere ? "BODY_NOT_JSON" : "");
      assert.equal(handled.size, isCutElsewhere ? 0 : 1);
    }
  }),
);

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const blank = fc.constantFrom("", " ", "  ", "\t");
const digitsOf = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: 1, maxLength });

describe("a signature's header", () => {
  property(
    "toloka: the header is read however it is spelt: its fields in any order, with any white space and others among them, zeros left out",
    10_000,
    fc.asyncProperty(
      digests,
      fc.nat({ max: 12 }),
      digitsOf(3),
      digitsOf(15),
      fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.stringMatching(/^[0-9A-Za-z_-]{1,12}$/), {
        maxKeys: 2,
      }),
      fc.infiniteStream(blank),
      fc.infiniteStream(fc.nat()),
      async (bytes, zeros, v, ts, others, blanks, order) => {
        const digest = Buffer.concat([Buffer.alloc(zeros), bytes.subarray(zeros)]).toString("hex");
        const space = () => blanks.next().value;
        const own = { v, ts, sign: digest.replace(/^0{0,24}/, "") };
        const fields = Object.entries({ ...others, ...own }).map(([name, value]) => ({
          text: `${space()}${name}${space()}=${space()}${value}${space()}`,
          place: order.next().value,
        }));
        const header = `{${fields.sort((a, b) => a.place - b.place).map(({ text }) => text)}}`;
        assert.deepEqual(
          toloka.parseSignature({ get: (name) => (name === "toloka-signature" ? header : null) }),
          {
            prefix: `${ts}.${v}.`,
            digest,
            timestamp: Number(ts),
          },
        );
      },
    ),
  );

  property(
    "prolific: the headers are read as they were written",
    10_000,
    fc.asyncProperty(digests, digitsOf(11), async (digest, seconds) => {
      const headers = new Map([
        ["x-prolific-request-signature", digest.toString("base64")],
        ["x-prolific-request-timestamp", seconds],
      ]);
      assert.deepEqual(prolific.parseSignature(headers), {
        prefix: seconds,
        digest: digest.toString("hex"),
        timestamp: Number(seconds) * 1000,
      });
    }),
  );
});

type Fits = (value: unknown) => boolean;
const isText: Fits = (value) => typeof value === "string";
const isListOf =
  (fits: Fits): Fits =>
  (value) =>
    Array.isArray(value) && value.every(fits);
const isSeconds: Fits = (value) => typeof value === "string" && /^[0-9]{1,11}$/.test(value);
const isId: Fits = (value) => typeof value === "string" && value.length >= 1 && value.length <= 255;

const TOLOKA_COMMON = {
  uuid: isId,
  event_time: (value: unknown) => timeIn(value) !== undefined,
  project_id: isText,
  pool_id: isText,
};
const TOLOKA_SUBSCRIBED = { ...TOLOKA_COMMON, webhook_subscription_id: isText };
const TOLOKA_ASSIGNMENT = { ...TOLOKA_SUBSCRIBED, task_suite_id: isText, assignment_id: isText };
/** Those in capitals are headers. */
const PROLIFIC_COMMON = { resource_id: isText, "X-Event-ID": isId, "X-Timestamp": isSeconds };

/** The fields of each type, by the platforms' documentation. */
/** The platforms have sent events that lack the field, or have it as null. */
const orMissing =
  (fits: Fits): Fits =>
  (value) =>
    value === undefined || value === null || fits(value);

const FIELDS: Record<ProviderName, ReadonlyMap<unknown, Readonly<Record<string, Fits>>>> = {
  toloka: new Map<unknown, Readonly<Record<string, Fits>>>([
    ["POOL_CLOSED", { ...TOLOKA_SUBSCRIBED, close_reason: isText }],
    ["ASSIGNMENT_CREATED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_SUBMITTED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_SKIPPED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_EXPIRED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_APPROVED", TOLOKA_ASSIGNMENT],
    ["ASSIGNMENT_REJECTED", TOLOKA_ASSIGNMENT],
    [
      "DYNAMIC_OVERLAP_COMPLETED",
      {
        ...TOLOKA_SUBSCRIBED,
        task_id: isText,
        confidence: Number.isFinite,
        assignment_ids: orMissing(isListOf(isText)),
        output_values: (value) => isObject(value) || isListOf(isObject)(value),
      },
    ],
    ["TEST_EVENT", TOLOKA_COMMON],
  ]),
  prolific: new Map<unknown, Readonly<Record<string, Fits>>>([
    ["submission.status.change", { ...PROLIFIC_COMMON, participant_id: isText, status: isText }],
    ["study.status.change", { ...PROLIFIC_COMMON, metadata: orMissing(isObject), status: isText }],
    ["study.progress.change", PROLIFIC_COMMON],
    ["study.has_high_return_rate", { ...PROLIFIC_COMMON, metadata: orMissing(isObject) }],
  ]),
};

/** Unix time in milliseconds of an ISO 8601 text; what has no offset is in UTC. */
function timeIn(text: unknown): number | undefined {
  const form = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(?:Z|([+-])(\d\d):?(\d\d))?$/;
  const parts = form.exec(typeof text === "string" ? text : "");
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", sign, hours, minutes] = parts;
  const isWithin = (value: string | undefined, min: number, max: number) =>
    value === undefined || (Number(value) >= min && Number(value) <= max);
  const isMidnight = hour === "24" && !/[1-9]/.test(`${minute}${second ?? ""}${fraction}`);
  if (!isWithin(month, 1, 12)) return undefined;
  if (!isWithin(hour, 0, 23) && !isMidnight) return undefined;
  if (!isWithin(minute, 0, 59) || !isWithin(second, 0, 59)) return undefined;
  if (!isWithin(hours, 0, 23) || !isWithin(minutes, 0, 59)) return undefined;
  // Not by Date.UTC, which takes the years up to 99 for others.
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  // Not every month has every day.
  if (date.getUTCDate() !== Number(day)) return undefined;
  const offset = Number(`${sign ?? ""}1`) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
  const ofDay = (Number(hour) * 60 + Number(minute) - offset) * 60 + Number(second ?? 0);
  return date.getTime() + ofDay * 1000 + Number(fraction.slice(1, 4).padEnd(3, "0"));
}

/** Texts that are a time, or nearly. */
const timeText = fc
  .tuple(
    fc.integer({ min: 0, max: 9999 }),
    fc.integer({ min: 0, max: 13 }),
    fc.integer({ min: 0, max: 32 }),
    fc.integer({ min: 0, max: 25 }),
    fc.integer({ min: 0, max: 61 }),
    fc.option(fc.integer({ min: 0, max: 61 }), { nil: undefined }),
    fc.oneof(
      fc.constant(""),
      digitsOf(15).map((digits) => `.${digits}`),
    ),
    fc.constantFrom(
      "",
      "",
      "",
      "Z",
      "z",
      "+03:00",
      "-0330",
      "+14:00",
      "+23:59",
      "+24:00",
      "+05",
      "+03:60",
      " ",
    ),
  )
  .map(([year, month, day, hour, minute, second, fraction, zone]) => {
    const two = (n: number) => String(n).padStart(2, "0");
    const seconds = second === undefined ? "" : `:${two(second)}${fraction}`;
    return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}${seconds}${zone}`;
  });

/** Fields replaced by any value, left out (`undefined`), or added. */
const edits = (names: readonly string[]) =>
  fc.array(
    fc.tuple(
      fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, anyText),
      fc.oneof(
        jsonValue,
        timeText,
        fc.constant(undefined),
        fc.integer({ min: 254, max: 257 }).map((length) => "x".repeat(length)),
        fc.constantFrom<unknown>({}, [{}], [{}, []], ["a", "b"], ["a", 1], 0.155, "0.155", "2020-02-14"),
      ),
    ),
    { maxLength: 3 },
  );

function edited(event: object, changes: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries([...Object.entries(event), ...changes]);
}

/** Holds an event to what was sent: nothing lost, and judged as the platform's documentation has it. */
function assertJudged(
  name: ProviderName,
  event: ReceivedEvent | undefined,
  sent: {
    type: unknown;
    id: unknown;
    time: number | undefined;
    data: unknown;
    valueOf: (field: string) => unknown;
  },
): void {
  assert.ok(event);
  assert.deepEqual(event.data, sent.data);
  assert.equal(event.provider, name);
  assert.equal(event.type, typeof sent.type === "string" ? sent.type : "");
  // A whole number is read as an id, too, although it does not fit these platforms' events.
  const isNumber = Number.isSafeInteger(sent.id) && (sent.id as number) >= 0;
  assert.equal(event.id, isNumber ? String(sent.id) : isId(sent.id) ? sent.id : "");
  assert.equal(event.occurredAt?.getTime(), sent.time);
  const fields = FIELDS[name].get(sent.type);
  const wrong = Object.entries(fields ?? {}).filter(([field, fits]) => !fits(sent.valueOf(field)));
  if (fields === undefined) {
    assert.equal(event.problems?.length, event.type === "" ? 1 : 0);
  } else if (wrong.length === 0) {
    assert.equal(event.problems, undefined);
  } else {
    assert.ok(event.problems && event.problems.length > 0);
    for (const problem of event.problems) {
      assert.ok(
        wrong.some(([field]) => problem.startsWith(`${field}:`) || problem.startsWith(`${field}.`)),
        problem,
      );
    }
  }
}

describe("events", () => {
  const tolokaFields = [...new Set([...FIELDS.toloka.values()].flatMap(Object.keys)), "type"];
  property(
    "toloka: an event of any fields keeps all of them, and is judged as the documentation has it",
    20_000,
    fc.asyncProperty(
      fc.constantFrom(...toloka.eventTypes),
      timeText,
      edits(tolokaFields),
      async (type, event_time, changes) => {
        const text = JSON.stringify({
          events: [edited(tolokaEvent(type, { uuid: "uuid-1", event_time }), changes)],
        });
        const data = JSON.parse(text).events[0];
        const events = toloka.parseEvents(JSON.parse(text), { get: () => null }, 0) ?? [];
        assert.equal(events.length, 1);
        const time = timeIn(data.event_time);
        assertJudged("toloka", events[0] as ReceivedEvent | undefined, {
          type: data.type,
          id: data.uuid,
          time,
          data,
          valueOf: (field) => data[field],
        });
      },
    ),
  );

  const prolificFields = [...new Set([...FIELDS.prolific.values()].flatMap(Object.keys))];
  property(
    "prolific: an event of any fields keeps all of them, and is judged as the documentation has it",
    20_000,
    fc.asyncProperty(
      fc.oneof(fc.constantFrom(...prolific.eventTypes), anyText),
      edits(prolificFields),
      fc.option(fc.oneof(fc.uuid(), anyText, fc.constantFrom("x".repeat(255), "x".repeat(256))), {
        nil: undefined,
      }),
      fc.option(fc.oneof(digitsOf(12), anyText, timeText), { nil: undefined }),
      async (event_type, changes, id, seconds) => {
        const sample = prolificEvent(event_type as (typeof prolific.eventTypes)[number]);
        const text = JSON.stringify({ ...edited(sample, changes), event_type });
        const data = JSON.parse(text);
        const headers = { get: (header: string) => ({ "x-event-id": id, "x-timestamp": seconds })[header] };
        const events = prolific.parseEvents(JSON.parse(text), headers, 0) ?? [];
        assert.equal(events.length, 1);
        const time = isSeconds(seconds) ? Number(seconds) * 1000 : undefined;
        const all = { ...data, "X-Event-ID": id, "X-Timestamp": seconds };
        assertJudged("prolific", events[0] as ReceivedEvent | undefined, {
          type: event_type,
          id,
          time,
          data,
          valueOf: (field) => all[field],
        });
      },
    ),
  );

  /** Minutes behind UTC on the first of July 2020. */
  const ZONES = {
    UTC: 0,
    "Asia/Kathmandu": -345,
    "America/St_Johns": 150,
    "Pacific/Kiritimati": -840,
    "Pacific/Marquesas": 570,
    "Australia/Lord_Howe": -630,
    "America/New_York": 240,
    "Europe/Dublin": -60,
  };
  const zoneHere = process.env.TZ;
  afterEach(() => {
    if (zoneHere === undefined) delete process.env.TZ;
    else process.env.TZ = zoneHere;
  });

  property(
    "toloka: an event occurred at its time in UTC, to the millisecond, in whatever zone the process runs",
    10_000,
    fc.asyncProperty(
      fc.constantFrom(...(Object.keys(ZONES) as (keyof typeof ZONES)[])),
      fc.integer({ min: Date.UTC(1000, 0), max: Date.UTC(9999, 11, 31) }),
      fc.nat({ max: 3 }),
      fc.constantFrom("", "Z", "+00:00", "-0000"),
      async (zone, time, decimals, offset) => {
        process.env.TZ = zone;
        assert.equal(new Date(2020, 6, 1).getTimezoneOffset(), ZONES[zone]);
        const step = 10 ** (3 - decimals);
        const written = Math.floor(time / step) * step;
        const event_time =
          new Date(written).toISOString().slice(0, decimals === 0 ? 19 : 20 + decimals) + offset;
        const [event] =
          toloka.parseEvents(
            { events: [tolokaEvent("POOL_CLOSED", { event_time })] },
            { get: () => null },
            0,
          ) ?? [];
        assert.equal(event?.problems, undefined);
        assert.equal(event?.occurredAt?.getTime(), written);
      },
    ),
  );
});

describe("node:crypto and WebCrypto", () => {
  const bytesOfSize = fc
    .tuple(fc.nat({ max: 70_000 }), fc.uint8Array({ minLength: 1, maxLength: 16 }))
    .map(([size, pattern]) => Buffer.alloc(size, pattern));
  const wrong: Readonly<Record<string, (digest: string, at: number) => string>> = {
    "a digit": (digest, at) => digest.slice(0, at) + (digest[at] === "0" ? "1" : "0") + digest.slice(at + 1),
    capitals: (digest) => digest.toUpperCase(),
    short: (digest, at) => digest.slice(0, at),
    long: (digest) => `${digest}0`,
    "a line break": (digest) => `${digest}\n`,
    "a wide digit": (digest, at) => `${digest.slice(0, at)}\uff11${digest.slice(at + 1)}`,
  };

  property(
    "both verify what was signed with one of the keys, and nothing else",
    3_000,
    fc.asyncProperty(
      fc.array(fc.oneof(secretText, fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" })), {
        maxLength: 4,
      }),
      fc.nat({ max: 4 }),
      fc.oneof(anyText, digitsOf(20)),
      fc.oneof({ weight: 3, arbitrary: fc.uint8Array({ maxLength: 200 }) }, bytesOfSize),
      fc.option(fc.constantFrom(...Object.keys(wrong)), { nil: undefined }),
      fc.nat({ max: 63 }),
      async (secrets, signer, prefix, body, mistake, at) => {
        const digest = hmac(
          secrets[signer] ?? "another",
          Buffer.concat([Buffer.from(prefix), body]),
        ).toString("hex");
        const sent = (mistake && wrong[mistake]?.(digest, at)) ?? digest;
        const verdicts = [
          node.verify(
            secrets.map((secret) => node.prepareKey(secret)),
            { prefix, digest: sent },
            body,
          ),
          await web.verify(
            await Promise.all(secrets.map((secret) => web.prepareKey(secret))),
            { prefix, digest: sent },
            body,
          ),
        ];
        const isRight = secrets[signer] !== undefined && sent === digest;
        assert.deepEqual(verdicts, [isRight, isRight]);
      },
    ),
  );
});

const POOL = ["12345", "123456", "sécret", "🗝️".repeat(30)];
const addressed = fc.record({
  name: fc.constantFrom<ProviderName[]>("toloka", "prolific"),
  secret: fc.constantFrom(...POOL),
});

property(
  "receivers side by side each take what was signed for them, whatever else they are in the midst of",
  1_500,
  fc.asyncProperty(
    fc.array(addressed, { minLength: 2, maxLength: 4 }),
    fc.array(addressed, { minLength: 1, maxLength: 4 }),
    fc.scheduler(),
    async (receivers, deliveries, scheduler) => {
      const later = <T>(value: T) => scheduler.schedule(Promise.resolve(value));
      const sent = deliveries.map(({ name, secret }, i) => {
        const event =
          name === "toloka"
            ? { events: [tolokaEvent("TEST_EVENT", { uuid: `${i}` })] }
            : prolificEvent("study.progress.change", { resource_id: `${i}` });
        return sign(name, secret, { id: `${i}`, signedAt: NOW, body: JSON.stringify(event) });
      });
      const listeners = receivers.map(({ name, secret }) =>
        listening(name, { secret: () => later(secret), clock: () => NOW }),
      );
      const replies = listeners.map(({ receiver }) =>
        sent.map(({ lines, body }) =>
          receiver.handle({
            method: "POST",
            headers: headersIn("record", lines),
            body: () => later(body),
          }),
        ),
      );
      await scheduler.waitFor(Promise.all(replies.flat()));
      for (const [i, { handled }] of listeners.entries()) {
        const own = deliveries.flatMap(({ name, secret }, id) =>
          name === receivers[i]?.name && secret === receivers[i]?.secret ? `${id}` : [],
        );
        assert.deepEqual([...handled].map(({ id }) => id).sort(), own);
        for (const [j, reply] of (await Promise.all(replies[i] ?? [])).entries()) {
          assert.equal(codeOf(reply) === "", own.includes(`${j}`));
        }
      }
    },
  ),
);

property(
  "bodies nested as deep as they can be are answered like any other",
  60,
  fc.asyncProperty(
    fc.constantFrom<ProviderName[]>("toloka", "prolific"),
    fc.constantFrom(["[", "]"], ['{"a":', "}"], ['[{"events":', "}]"]),
    fc.integer({ min: 1_000, max: 100_000 }),
    fc.constantFrom("", "\n", " "),
    async (name, [open = "", close = ""], depth, after) => {
      const event = name === "toloka" ? tolokaEvent("TEST_EVENT") : prolificEvent("study.progress.change");
      const deep = `${open.repeat(depth)}1${close.repeat(depth)}`;
      const body = Buffer.from(`${JSON.stringify(event).slice(0, -1)},"deep":${deep}}`);
      const headers = headersIn("get", signedLines(name, body, "1"));
      const answer = async (secret: string, bytes: Uint8Array) => {
        const { receiver, handled } = listening(name, { secret, clock: () => NOW });
        return [codeOf(await receiver.handle({ method: "POST", headers, body: bytes })), handled.size];
      };
      assert.deepEqual(await answer(SECRET, body), ["", 1]);
      assert.deepEqual(await answer("another", body), ["SIGNATURE_MISMATCH", 0]);
      // What was added is found out by writing it in other ways, as far as it goes.
      const changed = Buffer.concat([body, Buffer.from(after || "}")]);
      assert.deepEqual(await answer(SECRET, changed), ["SIGNATURE_MISMATCH", 0]);
    },
  ),
);

property(
  "a random program of deliveries, failures and time does to the receivers what it does to a model of them",
  5_000,
  fc.asyncProperty(setups, programs, fc.scheduler(), run),
);
