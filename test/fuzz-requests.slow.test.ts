import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { inspect } from "@crowdhook/core/inspect";
import fc from "fast-check";
import { describe } from "vitest";
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
  madeUpLines,
  type ProviderName,
  type Sent,
  secretText,
  sign,
  unsigned,
} from "./fuzz-deliveries.js";
import { logged, property } from "./fuzz-property.js";
import { codeOf, hmac, isObject, listening, NOW, PROVIDERS, SECRET, signedLines } from "./fuzz-receivers.js";

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

        logged.text = "";
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

        for (const text of [reply.body, logged.text]) {
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
