import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import type { ClaimStore, ReceiverOptions } from "@crowdhook/core";
import { memoryClaims } from "@crowdhook/core";
import { signToloka, testClock, tolokaEvent } from "@crowdhook/core/testing";
import type { TolokaEventType } from "@crowdhook/core/toloka";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Answer } from "./request.js";
import { type Running, TARGETS } from "./targets.js";

interface Vector {
  name: string;
  secret: string;
  ts: number;
  v: number;
  body: string;
  header: string;
}

const vectors: Vector[] = JSON.parse(
  readFileSync(new URL("vectors/toloka.json", import.meta.url), "utf8"),
).valid;

const SECRET = "12345";
const NOW = 1_581_682_978_000;

const NOTHING = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

function contentOf(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.text);
}

describe.each(TARGETS)("$name", (target) => {
  const clock = testClock(NOW);
  const started: Running[] = [];

  beforeEach(() => clock.set(NOW));
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(started.splice(0).map((running) => running.close()));
  });

  async function start(options: ReceiverOptions = {}): Promise<Running & { types: string[] }> {
    const running = await target.start({
      clock,
      ...("unsigned" in options ? {} : { secret: SECRET }),
      ...options,
    });
    started.push(running);
    const types: string[] = [];
    running.webhook.onAny((event) => types.push(event.type));
    return Object.assign(running, { types });
  }

  const signed = (body: string | object[], timestamp = NOW) =>
    signToloka({ secret: SECRET, timestamp, ...(typeof body === "string" ? { body } : { events: body }) });
  /** Signs bytes that no string can stand for. */
  const signedBytes = async (body: Uint8Array) => {
    const { createHmac } = await import("node:crypto");
    const sign = createHmac("sha256", SECRET).update(`${NOW}.1.`).update(body).digest("hex");
    return { headers: { "toloka-signature": `{v=1, ts=${NOW}, sign=${sign}}` }, body };
  };

  describe("signatures", () => {
    test.each(vectors)("the genuine delivery $name gets 200", async (vector) => {
      clock.set(vector.ts);
      const { send, types } = await start({ secret: ["another", vector.secret] });
      const answer = await send({ headers: { "toloka-signature": vector.header }, body: vector.body });
      expect(answer.status).toBe(200);
      const { events } = JSON.parse(vector.body);
      expect(types).toEqual(
        (events ?? [JSON.parse(vector.body)]).map((event: { type: string }) => event.type),
      );
    });

    test.each(vectors)("$name with anything changed gets 401 and reaches no listener", async (vector) => {
      clock.set(vector.ts);
      const { send, types } = await start({ secret: vector.secret });
      const genuine = Buffer.from(vector.body);
      // Through a socket a few places stand for all of them.
      const places =
        target.name === "core" ? [...genuine.keys()] : [0, genuine.length >> 1, genuine.length - 1];
      for (const place of places) {
        const body = Buffer.from(genuine);
        body[place] = (body[place] ?? 0) ^ 1;
        const answer = await send({ headers: { "toloka-signature": vector.header }, body });
        expect([place, answer.status]).toEqual([place, 401]);
      }
      const sign = vector.header.slice(vector.header.indexOf("sign=") + 5, -1);
      const otherDigit = (digit: string) => (digit === "0" ? "1" : "0");
      const headers = [
        ...Array.from(sign, (digit, i) =>
          vector.header.replace(sign, sign.slice(0, i) + otherDigit(digit) + sign.slice(i + 1)),
        ),
        vector.header.replace(`ts=${vector.ts}`, `ts=${vector.ts + 1}`),
        vector.header.replace(`ts=${vector.ts}`, `ts=0${vector.ts}`),
        vector.header.replace(`v=${vector.v}`, `v=${vector.v + 1}`),
        vector.header.replace(`v=${vector.v}`, `v=0${vector.v}`),
      ];
      for (const header of headers) {
        const answer = await send({ headers: { "toloka-signature": header }, body: vector.body });
        expect([header, answer.status]).toEqual([header, 401]);
      }
      expect(types).toEqual([]);
    });

    test("a delivery that is not signed gets 401 and reaches no listener", async () => {
      const { send, types } = await start();
      const answer = await send({ body: signed([tolokaEvent("POOL_CLOSED")]).body });
      expect(answer.status).toBe(401);
      expect(contentOf(answer)).toEqual({ code: "SIGNATURE_MISSING", message: expect.any(String) });
      expect(types).toEqual([]);
    });

    test("an empty signature header counts as none", async () => {
      const { send } = await start();
      const answer = await send({ headers: { "toloka-signature": "" }, body: "{}" });
      expect(contentOf(answer)).toMatchObject({ code: "SIGNATURE_MISSING" });
    });

    test("a header sent twice is refused, even with the same genuine content", async () => {
      const { send, types } = await start();
      const { headers, body } = signed([tolokaEvent("POOL_CLOSED")]);
      const header = headers["toloka-signature"] ?? "";
      const answer = await send({ headers: { "toloka-signature": [header, header] }, body });
      expect([answer.status, contentOf(answer).code]).toEqual([401, "SIGNATURE_MALFORMED"]);
      expect(types).toEqual([]);
    });

    test("a forged delivery is told nothing but that it does not fit", async () => {
      const { send } = await start();
      const { headers, body } = signToloka({ secret: "guessed", timestamp: NOW, events: [] });
      const answer = await send({ headers, body });
      expect(answer.status).toBe(401);
      expect(contentOf(answer)).toEqual({ code: "SIGNATURE_MISMATCH", message: expect.any(String) });
    });

    test.each([
      ["at the edge of the past", -300_000, 200],
      ["a millisecond too old", -300_001, 401],
      ["at the edge of the future", 300_000, 200],
      ["a millisecond too far in the future", 300_001, 401],
    ])("a genuine delivery %s: %i ms, %i", async (_, offset, status) => {
      const { send } = await start();
      const answer = await send(signed([tolokaEvent("TEST_EVENT")], NOW + offset));
      expect(answer.status).toBe(status);
      if (status === 401) expect(contentOf(answer).code).toBe("TIMESTAMP_OUT_OF_TOLERANCE");
    });

    test("a tolerance of 0 accepts this very millisecond and nothing else", async () => {
      const { send } = await start({ tolerance: 0 });
      expect((await send(signed([]))).status).toBe(200);
      expect((await send(signed([], NOW - 1))).status).toBe(401);
      expect((await send(signed([], NOW + 1))).status).toBe(401);
    });

    test("each secret of a list is valid", async () => {
      const { send } = await start({ secret: ["old", SECRET, "new"] });
      for (const secret of ["old", SECRET, "new"]) {
        expect((await send(signToloka({ secret, timestamp: NOW }))).status).toBe(200);
      }
      expect((await send(signToloka({ secret: "other", timestamp: NOW }))).status).toBe(401);
    });

    test("a secret may come from a function of the delivery, at once or later", async () => {
      const secret = vi.fn(async (delivery) => [`secret-of-${delivery.headers.get("X-Tenant")}`]);
      const { send } = await start({ secret });
      const { headers, body } = signToloka({ secret: "secret-of-a", timestamp: NOW });
      expect((await send({ headers: { ...headers, "x-tenant": "a" }, body })).status).toBe(200);
      expect((await send({ headers: { ...headers, "x-tenant": "b" }, body })).status).toBe(401);
    });

    test.each([
      [
        "throws",
        () => {
          throw new Error("vault password hunter2");
        },
      ],
      [
        "rejects",
        async () => {
          throw new Error("vault password hunter2");
        },
      ],
      ["gives an empty secret", () => ""],
      ["gives no secret", () => []],
      ["gives a secret edged with white space", () => "12345\n"],
      ["gives something else", () => 12345 as unknown as string],
    ])("a secret function that %s costs 503 and tells nobody why", async (_, secret) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const { send, types } = await start({ secret });
      const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
      expect(contentOf(answer).code).toBe("SECRET_UNAVAILABLE");
      expect(answer.text + log.mock.calls.join()).not.toMatch(/hunter2|12345/);
      expect(types).toEqual([]);
    });

    test("unsigned deliveries are accepted where that was asked for", async () => {
      const { send, types } = await start({ unsigned: true });
      expect((await send({ body: JSON.stringify({ events: [tolokaEvent("POOL_CLOSED")] }) })).status).toBe(
        200,
      );
      expect(types).toEqual(["POOL_CLOSED"]);
    });

    test("two webhooks with different secrets never mix, however their deliveries interleave", async () => {
      const one = await start({ secret: "one" });
      const two = await start({ secret: "two" });
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => {
          const events = [tolokaEvent("POOL_CLOSED", { uuid: `event-${i}` })];
          const running = i % 2 ? one : two;
          return running.send(signToloka({ secret: i % 4 < 2 ? "one" : "two", timestamp: NOW, events }));
        }),
      );
      expect(answers.map((answer) => answer.status)).toEqual(
        Array.from({ length: 20 }, (_, i) => ((i % 2 === 1) === i % 4 < 2 ? 200 : 401)),
      );
      expect(one.types.length + two.types.length).toBe(10);
    });
  });

  describe("requests", () => {
    test.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])(
      "%s gets 405 and is told to POST",
      async (method) => {
        const { send } = await start();
        const answer = await send({ method });
        expect(answer.status).toBe(405);
        expect(answer.headers.allow).toBe("POST");
        if (method !== "HEAD") expect(contentOf(answer).code).toBe("METHOD_NOT_ALLOWED");
      },
    );

    test.each(["gzip", "br", "gzip, identity"])("Content-Encoding %s gets 415", async (encoding) => {
      const { send } = await start();
      const { headers, body } = signed([]);
      const answer = await send({ headers: { ...headers, "content-encoding": encoding }, body });
      expect([answer.status, contentOf(answer).code]).toEqual([415, "ENCODING_UNSUPPORTED"]);
    });

    test("Content-Encoding identity is none", async () => {
      const { send } = await start();
      const { headers, body } = signed([]);
      expect((await send({ headers: { ...headers, "content-encoding": "Identity" }, body })).status).toBe(
        200,
      );
    });

    test.each(["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"])(
      "the bytes decide, not the Content-Type %s",
      async (type) => {
        const { send } = await start();
        const { headers, body } = signed([tolokaEvent("POOL_CLOSED")]);
        expect((await send({ headers: { ...headers, "content-type": type }, body })).status).toBe(200);
      },
    );

    test.each([false, true])(
      "a body of exactly the limit is accepted, one more byte gets 413 (chunked: %s)",
      async (chunked) => {
        const body = JSON.stringify({ events: [] });
        const { send } = await start({ maxBodySize: body.length });
        expect((await send({ ...signed(body), chunked })).status).toBe(200);
        const answer = await send({ ...signed(`${body} `), chunked });
        expect([answer.status, contentOf(answer).code]).toEqual([413, "BODY_TOO_LARGE"]);
      },
    );

    test("4 MiB, as much as Toloka may send in one field, pass by default; 5 MiB and a byte do not", async () => {
      const { send, types } = await start();
      const large = tolokaEvent("DYNAMIC_OVERLAP_COMPLETED", {
        output_values: { text: "x".repeat(4_194_304) },
      });
      expect((await send({ ...signed([large]), chunked: true })).status).toBe(200);
      expect(types).toEqual(["DYNAMIC_OVERLAP_COMPLETED"]);
      const answer = await send({ body: Buffer.alloc(5 * 1024 * 1024 + 1), chunked: true });
      expect(answer.status).toBe(413);
    });

    test.each([
      ["is not JSON", "events", "BODY_NOT_JSON"],
      ["is empty", "", "BODY_NOT_JSON"],
      ["is two documents", "{}{}", "BODY_NOT_JSON"],
      ["starts with a byte order mark", '\ufeff{"events":[]}', "BODY_NOT_JSON"],
      ["is null", "null", "ENVELOPE_INVALID"],
      ["is an array", "[]", "ENVELOPE_INVALID"],
      ["is a number", "1e999", "ENVELOPE_INVALID"],
      ["is an object without events", "{}", "ENVELOPE_INVALID"],
      ["has events that are no list", '{"events":{}}', "ENVELOPE_INVALID"],
      ["has an event that is null", '{"events":[null]}', "ENVELOPE_INVALID"],
      ["has an event that is a list", '{"events":[[]]}', "ENVELOPE_INVALID"],
    ])("a signed body that %s gets 400", async (_, body, code) => {
      const { send } = await start();
      const answer = await send(signed(body));
      expect([answer.status, contentOf(answer).code]).toEqual([400, code]);
    });

    test("signed bytes that are not UTF-8 verify, and are not JSON", async () => {
      const { send } = await start();
      const bytes = Buffer.from('{"events":[],"x":"\xff"}', "latin1");
      const answer = await send(await signedBytes(bytes));
      expect([answer.status, contentOf(answer).code]).toEqual([400, "BODY_NOT_JSON"]);
    });

    test("a reply is JSON, and its Content-Length counts its bytes", async () => {
      const { send } = await start();
      for (const answer of [
        await send(signed([])),
        await send({ body: "x" }),
        await send({ method: "GET" }),
      ]) {
        expect(answer.headers["content-type"]).toMatch(/^application\/json/);
        expect(answer.headers["content-length"]).toBe(String(Buffer.byteLength(answer.text)));
        expect(() => contentOf(answer)).not.toThrow();
      }
    });
  });

  describe("events", () => {
    test("a listener gets the event with its data, its time in UTC, and the delivery", async () => {
      const { webhook, send } = await start();
      const listener = vi.fn();
      webhook.on("POOL_CLOSED", listener);
      const data = tolokaEvent("POOL_CLOSED", {
        uuid: "u",
        event_time: "2020-02-14T12:22:58.5",
        added: { later: [1] },
      });
      const delivery = signed([data]);
      expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
      const [event, context] = listener.mock.calls[0] ?? [];
      expect(event).toEqual({
        provider: "toloka",
        type: "POOL_CLOSED",
        id: "u",
        occurredAt: new Date("2020-02-14T12:22:58.500Z"),
        data,
      });
      expect(Buffer.from(context.delivery.body).toString()).toBe(delivery.body);
      expect(context.delivery.headers.get("Toloka-Signature")).toBe(delivery.headers["toloka-signature"]);
      expect(context.signal.aborted).toBe(false);
    });

    test("a batch runs in order, each event for the listeners of its type", async () => {
      const { send, types } = await start();
      const all: TolokaEventType[] = [
        "ASSIGNMENT_CREATED",
        "POOL_CLOSED",
        "ASSIGNMENT_SUBMITTED",
        "TEST_EVENT",
      ];
      expect(contentOf(await send(signed(all.map((type) => tolokaEvent(type)))))).toEqual({
        ...NOTHING,
        handled: 4,
      });
      expect(types).toEqual(all);
    });

    test.each(["POOL_REOPENED", "constructor", "__proto__", "toString"])(
      "an event of the unknown type %s is a success, for onUnrecognized and onAny",
      async (type) => {
        const { webhook, send, types } = await start();
        const unrecognized = vi.fn();
        webhook.onUnrecognized(unrecognized);
        const answer = await send(signed([{ ...tolokaEvent("POOL_CLOSED", { uuid: "u" }), type }]));
        expect(answer.status).toBe(200);
        expect(contentOf(answer)).toEqual({ ...NOTHING, unrecognized: 1 });
        expect(types).toEqual([type]);
        expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ type, id: "u", problems: [] });
      },
    );

    test("an event that does not fit its type fails, and onError learns which field", async () => {
      const { webhook, send, types } = await start();
      const onError = vi.fn();
      webhook.onError(onError);
      const answer = await send(
        signed([tolokaEvent("POOL_CLOSED", { close_reason: 7 }), tolokaEvent("TEST_EVENT")]),
      );
      expect(answer.status).toBe(500);
      expect(contentOf(answer)).toEqual({
        code: "EVENT_FAILED",
        message: expect.any(String),
        ...NOTHING,
        handled: 1,
        failed: 1,
      });
      expect(types).toEqual(["TEST_EVENT"]);
      expect(onError.mock.calls[0]?.[0].message).toContain("close_reason: expected string");
    });

    test("an event that does not fit its type is a success once onUnrecognized takes it", async () => {
      const { webhook, send } = await start();
      const unrecognized = vi.fn();
      webhook.onUnrecognized(unrecognized);
      const answer = await send(signed([tolokaEvent("POOL_CLOSED", { close_reason: null })]));
      expect(answer.status).toBe(200);
      expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ problems: ["close_reason: expected string"] });
    });

    test("of four events the third fails: 500; redelivered after a fix: 200, and only the third ran again", async () => {
      const { webhook, send } = await start();
      const ran: string[] = [];
      let broken = true;
      webhook.onError(() => {});
      webhook.on("ASSIGNMENT_SUBMITTED", async (event) => {
        ran.push(event.data.assignment_id);
        if (broken && event.data.assignment_id === "third") throw new Error("broken");
      });
      const delivery = signed(
        ["first", "second", "third", "fourth"].map((assignment_id) =>
          tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id }),
        ),
      );
      const failed = await send(delivery);
      expect(failed.status).toBe(500);
      expect(contentOf(failed)).toMatchObject({ code: "EVENT_FAILED", handled: 3, failed: 1 });
      expect(ran).toEqual(["first", "second", "third", "fourth"]);
      broken = false;
      const redelivered = await send(delivery);
      expect(redelivered.status).toBe(200);
      expect(contentOf(redelivered)).toEqual({ ...NOTHING, handled: 1, duplicate: 3 });
      expect(ran.slice(4)).toEqual(["third"]);
    });

    test.each([
      ["an Error", new Error("hunter2")],
      ["a string", "hunter2"],
      ["undefined", undefined],
      ["a frozen object", Object.freeze({ secret: "hunter2" })],
    ])(
      "a listener that throws or rejects with %s fails the event, and no word of it gets out",
      async (_, value) => {
        for (const listener of [
          () => {
            throw value;
          },
          async () => {
            throw value;
          },
        ]) {
          const log = vi.spyOn(console, "error").mockImplementation(() => {});
          const { webhook, send } = await start();
          const sibling = vi.fn();
          webhook.on("POOL_CLOSED", listener);
          webhook.on("POOL_CLOSED", sibling);
          const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
          expect(answer.status).toBe(500);
          expect(sibling).toHaveBeenCalledOnce();
          expect(log).toHaveBeenCalledOnce();
          expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
          const errors: unknown[] = [];
          webhook.onError((error, event) => errors.push(error, event.type));
          await send(signed([tolokaEvent("POOL_CLOSED")]));
          expect(errors).toEqual([value, "POOL_CLOSED"]);
          log.mockRestore();
        }
      },
    );

    test("an onError listener that throws or rejects does no harm", async () => {
      const { webhook, send } = await start();
      webhook.on("POOL_CLOSED", () => {
        throw new Error("first");
      });
      const last = vi.fn();
      webhook.onError(() => {
        throw new Error("second");
      });
      webhook.onError(() => Promise.reject(new Error("third")));
      webhook.onError(last);
      expect((await send(signed([tolokaEvent("POOL_CLOSED")]))).status).toBe(500);
      expect(last).toHaveBeenCalledOnce();
    });
  });

  describe("once", () => {
    test("an event that comes twice in one delivery runs once", async () => {
      const { send, types } = await start();
      const event = tolokaEvent("POOL_CLOSED");
      expect(contentOf(await send(signed([event, event])))).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
      expect(types).toEqual(["POOL_CLOSED"]);
    });

    test("an event that comes twice in one delivery and fails runs once, and both count as failed", async () => {
      const { webhook, send } = await start();
      const listener = vi.fn(() => Promise.reject(new Error("broken")));
      webhook.on("POOL_CLOSED", listener);
      webhook.onError(() => {});
      const event = tolokaEvent("POOL_CLOSED");
      expect(contentOf(await send(signed([event, event])))).toMatchObject({ failed: 2 });
      expect(listener).toHaveBeenCalledOnce();
    });

    test("an event that comes again runs once, until 24 hours have passed", async () => {
      const { send, types } = await start();
      const events = [tolokaEvent("POOL_CLOSED")];
      await send(signed(events));
      clock.advance(24 * 60 * 60 * 1000 - 1);
      expect(contentOf(await send(signed(events, clock())))).toEqual({ ...NOTHING, duplicate: 1 });
      clock.advance(1);
      expect(contentOf(await send(signed(events, clock())))).toEqual({ ...NOTHING, handled: 1 });
      expect(types).toHaveLength(2);
    });

    test("concurrent deliveries of one event run it once, and share its outcome", async () => {
      const { webhook, send } = await start();
      let finish = (_: string) => {};
      const listener = vi.fn(
        () =>
          new Promise<string>((resolve) => {
            finish = resolve;
          }),
      );
      const running = new Promise<void>((resolve) => webhook.onAny(() => resolve()));
      webhook.on("POOL_CLOSED", listener);
      const delivery = signed([tolokaEvent("POOL_CLOSED")]);
      const answers = Array.from({ length: 5 }, () => send(delivery));
      // The listener goes on only when another answer could have come before it, had there been one.
      await running;
      const bystander = await send(signed([tolokaEvent("TEST_EVENT")]));
      expect(bystander.status).toBe(200);
      finish("");
      const counts = (await Promise.all(answers)).map(contentOf);
      expect(listener).toHaveBeenCalledOnce();
      expect(counts.filter((count) => count.handled === 1)).toHaveLength(1);
      expect(counts.filter((count) => count.duplicate === 1)).toHaveLength(4);
    });

    const storeThat = (broken: Partial<ClaimStore>): ClaimStore => ({
      ...memoryClaims({ clock }),
      ...broken,
    });
    const fails = () => {
      throw new Error("redis://:hunter2@store");
    };
    const rejects = () => Promise.reject(new Error("redis://:hunter2@store"));

    test.each([
      ["throws", fails],
      ["rejects", rejects],
    ])("a store that %s at the claim: 503, no listener ran", async (_, claim) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const { send, types } = await start({ claims: storeThat({ claim }) });
      const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
      expect(contentOf(answer)).toMatchObject({ code: "STORE_UNAVAILABLE", ...NOTHING });
      expect(types).toEqual([]);
      expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
    });

    test.each([
      ["throws", fails],
      ["rejects", rejects],
    ])(
      "a store that %s after the listener succeeded: 503, and no listener counts as failed",
      async (_, settle) => {
        vi.spyOn(console, "error").mockImplementation(() => {});
        const { webhook, send, types } = await start({ claims: storeThat({ settle }) });
        const onError = vi.fn();
        webhook.onError(onError);
        const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
        expect(contentOf(answer)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 1, failed: 0 });
        expect(types).toEqual(["POOL_CLOSED"]);
        expect(onError).not.toHaveBeenCalled();
      },
    );

    test.each([
      ["throws", fails],
      ["rejects", rejects],
    ])("a store that %s at the release changes nothing about the failure", async (_, release) => {
      const { webhook, send } = await start({ claims: storeThat({ release }) });
      webhook.on("POOL_CLOSED", () => {
        throw new Error("broken");
      });
      webhook.onError(() => {});
      expect(contentOf(await send(signed([tolokaEvent("POOL_CLOSED")])))).toMatchObject({
        code: "EVENT_FAILED",
      });
    });

    test("an event that another process holds: 503, the rest is handled", async () => {
      const claims = memoryClaims({ clock });
      claims.claim("toloka:held", "another process", 60_000);
      const { send, types } = await start({ claims });
      const delivery = signed([tolokaEvent("POOL_CLOSED", { uuid: "held" }), tolokaEvent("TEST_EVENT")]);
      const answer = await send(delivery);
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
      expect(contentOf(answer)).toMatchObject({ code: "EVENT_BUSY", busy: 1, handled: 1 });
      clock.advance(60_000);
      expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
      expect(types).toEqual(["TEST_EVENT", "POOL_CLOSED"]);
    });

    test("a sink takes the events in place of the listeners, and is asked for none that is done", async () => {
      const accept = vi.fn();
      const { send, types } = await start({ sink: { accept } });
      const events = [tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")];
      expect(contentOf(await send(signed(events)))).toEqual({ ...NOTHING, handled: 2 });
      expect(contentOf(await send(signed(events)))).toEqual({ ...NOTHING, duplicate: 2 });
      expect(accept).toHaveBeenCalledOnce();
      expect(accept.mock.calls[0]?.[0]).toMatchObject([{ type: "POOL_CLOSED" }, { type: "TEST_EVENT" }]);
      expect(types).toEqual([]);
    });

    test("a sink that fails costs 503; the redelivery is offered to it again", async () => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const accept = vi.fn().mockRejectedValueOnce(new Error("postgres://:hunter2@sink"));
      const { send } = await start({ sink: { accept } });
      const delivery = signed([tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")]);
      const answer = await send(delivery);
      expect([answer.status, contentOf(answer).code]).toEqual([503, "SINK_UNAVAILABLE"]);
      expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
      expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 2 });
    });
  });
});

/** Behaviours that take a socket. */
describe.each(TARGETS.filter((target) => target.name !== "core"))("$name", (target) => {
  let running: Running;
  beforeEach(async () => {
    running = await target.start({ secret: SECRET });
  });
  afterEach(async () => {
    await running.close();
  });

  const alive = async () => expect((await running.send(signToloka({ secret: SECRET }))).status).toBe(200);

  /** What comes back for bytes written to the socket as they are, until the other side closes. */
  const raw = (text: string, then: "wait" | "hang up" = "wait") =>
    new Promise<string>((resolve, reject) => {
      const socket = net.connect(Number(new URL(running.origin ?? "").port), "127.0.0.1");
      let received = "";
      socket.on("data", (data) => {
        received += data;
      });
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
      socket.write(text, () => then === "hang up" && socket.destroy());
    });

  test("another path gets 404, and no listener hears of it", async () => {
    const heard = vi.fn();
    running.webhook.onAny(heard);
    const delivery = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    for (const path of [
      "/",
      "/toloka-webhooks",
      "/toloka-webhook/more",
      "/x/toloka-webhook",
      "/Toloka-Webhook/x",
    ]) {
      expect([path, (await running.send({ ...delivery, path })).status]).toEqual([path, 404]);
    }
    expect(heard).not.toHaveBeenCalled();
  });

  test.each(["/toloka-webhook/", "/toloka-webhook?a=b", "/toloka-webhook/?a=/b"])(
    "%s is the webhook's path, too",
    async (path) => {
      expect((await running.send({ ...signToloka({ secret: SECRET }), path })).status).toBe(200);
    },
  );

  test.each([
    ["in chunks", "close", {}],
    ["in chunks", "keep-alive", {}],
    ["with their Content-Length", "close", { "content-length": 50 * 1024 * 1024 }],
  ])(
    "50 MB sent %s (Connection: %s) get a 413 that the sender reads, and memory stays flat",
    async (_, connection, headers) => {
      const piece = Buffer.alloc(64 * 1024);
      const before = process.memoryUsage().rss;
      let most = before;
      const sent = http.request(`${running.origin}/toloka-webhook`, {
        method: "POST",
        headers: { connection, ...headers },
      });
      const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
        sent.on("response", resolve);
        sent.on("error", reject);
      });
      for (let i = 0; i < 800; i++) {
        if (!sent.write(piece)) await Promise.race([once(sent, "drain"), answered]);
        most = Math.max(most, process.memoryUsage().rss);
      }
      sent.end();
      const response = await answered;
      response.resume();
      expect(response.statusCode).toBe(413);
      // Sender and receiver share this process: the 5 MiB that are kept at most, and room for garbage.
      expect(most - before).toBeLessThan(40 * 1024 * 1024);
      await alive();
    },
  );

  test("a Content-Length that promises too much is refused, even if the body never comes", async () => {
    const answer = raw(
      "POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6000000\r\n\r\n{",
    );
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
    await alive();
  });

  test("what follows a body beyond its Content-Length is not taken for a part of it", async () => {
    const heard = vi.fn();
    running.webhook.onAny(heard);
    const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    const answer = await raw(
      `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nToloka-Signature: ${headers["toloka-signature"]}\r\nContent-Length: 5\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
    expect(heard).not.toHaveBeenCalled();
    await alive();
  });

  test("an upload that breaks off runs nothing, and the server stays up", async () => {
    const heard = vi.fn();
    running.webhook.onAny(heard);
    for (let i = 0; i < 20; i++) {
      await raw(
        `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nToloka-Signature: {v=1, ts=1, sign=${"0".repeat(64)}}\r\nContent-Length: 1000\r\n\r\n{"events":`,
        "hang up",
      );
    }
    await alive();
    expect(heard).not.toHaveBeenCalled();
  });

  test("context.signal aborts when the sender hangs up before the answer", async () => {
    const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    let hangUp = () => {};
    const aborted = new Promise<void>((resolve) => {
      running.webhook.on("POOL_CLOSED", async (_, { signal }) => {
        signal.addEventListener("abort", () => resolve());
        hangUp();
        await aborted;
      });
    });
    const socket = net.connect(Number(new URL(running.origin ?? "").port), "127.0.0.1");
    hangUp = () => socket.destroy();
    socket.write(
      `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nToloka-Signature: ${headers["toloka-signature"]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await aborted;
    await alive();
  });
});
