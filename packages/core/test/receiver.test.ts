import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { ERRORS } from "../src/errors.js";
import type { ReceiverOptions } from "../src/options.js";
import type { Provider } from "../src/provider.js";
import { prolific } from "../src/providers/prolific/index.js";
import { ASSIGNMENT_EVENT_TYPES, toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import type { Reply } from "../src/reply.js";
import { prolificEvent, signProlific, signToloka, testClock, tolokaEvent } from "../src/testing.js";
import type { MaybePromise } from "../src/values/maybe-promise.js";

const SECRET = "12345";
const NOW = 1_581_682_978_000;

const receiverWith = (options: ReceiverOptions = {}) =>
  createReceiver(toloka, { secret: SECRET, clock: () => NOW, ...options });
const signed = (...events: object[]) => signToloka({ secret: SECRET, timestamp: NOW, events });

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("listeners", () => {
  test("a list of types is one registration, taken off at once", async () => {
    const receiver = receiverWith();
    const heard: string[] = [];
    const off = receiver.on(ASSIGNMENT_EVENT_TYPES, (event) => heard.push(event.data.assignment_id));
    const deliver = () => receiver.handle(signed(...ASSIGNMENT_EVENT_TYPES.map((type) => tolokaEvent(type))));
    await deliver();
    expect(heard).toHaveLength(6);
    off();
    off();
    await deliver();
    expect(heard).toHaveLength(6);
  });

  test("a type that stands in a list twice is listened to once", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    receiver.on(["POOL_CLOSED", "POOL_CLOSED"], listener);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledOnce();
  });

  test("the types that are listened to are told, all of them with onAny, as they are registered and taken off", () => {
    const receiver = receiverWith();
    expect(receiver.listenedTypes()).toEqual([]);
    const off = receiver.on(["TEST_EVENT", "POOL_CLOSED"], () => {});
    receiver.onUnrecognized(() => {});
    receiver.onError(() => {});
    expect(receiver.listenedTypes()).toEqual(["POOL_CLOSED", "TEST_EVENT"]);
    const offAny = receiver.onAny(() => {});
    expect(receiver.listenedTypes()).toEqual(toloka.eventTypes);
    offAny();
    off();
    expect(receiver.listenedTypes()).toEqual([]);
  });

  test("a function registered twice runs twice, and each registration is taken off by itself", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    const off = receiver.on("POOL_CLOSED", listener);
    receiver.on("POOL_CLOSED", listener);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledTimes(2);
    off();
    off();
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledTimes(3);
  });

  test("a listener that takes itself off, or adds another, changes nothing for the event being handled", async () => {
    const receiver = receiverWith();
    const heard: string[] = [];
    const off = receiver.on("POOL_CLOSED", () => {
      heard.push("first");
      off();
      receiver.on("POOL_CLOSED", () => heard.push("added"));
    });
    receiver.on("POOL_CLOSED", () => heard.push("second"));
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(heard).toEqual(["first", "second"]);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(heard).toEqual(["first", "second", "second", "added"]);
  });

  test("every kind of listener is taken off by what it gave back", async () => {
    const receiver = receiverWith();
    const listener = vi.fn(() => {
      throw new Error("broken");
    });
    const heard = vi.fn();
    const offs = [receiver.onAny(listener), receiver.onUnrecognized(listener), receiver.onError(heard)];
    const events = () => signed({ ...tolokaEvent("POOL_CLOSED"), type: "NEW" });
    await receiver.handle(events());
    expect([listener.mock.calls.length, heard.mock.calls.length]).toEqual([2, 2]);
    for (const off of offs) off();
    await receiver.handle(events());
    expect([listener.mock.calls.length, heard.mock.calls.length]).toEqual([2, 2]);
  });

  test("an event's listeners run side by side, and the next event waits for all of them", async () => {
    const receiver = receiverWith();
    const log: string[] = [];
    const turn = (name: string) => async (event: { id: string }) => {
      log.push(`${event.id}: ${name} begins`);
      await Promise.resolve();
      log.push(`${event.id}: ${name} ends`);
    };
    receiver.on("POOL_CLOSED", turn("a"));
    receiver.on("POOL_CLOSED", turn("b"));
    await receiver.handle(
      signed(tolokaEvent("POOL_CLOSED", { uuid: "1" }), tolokaEvent("POOL_CLOSED", { uuid: "2" })),
    );
    expect(log).toEqual(
      ["1", "2"].flatMap((id) => [`${id}: a begins`, `${id}: b begins`, `${id}: a ends`, `${id}: b ends`]),
    );
  });

  test("a type that there is not, and a listener that is no function, throw and say so", () => {
    const receiver = receiverWith();
    expect(() => receiver.on("POOL_CLOSE" as "POOL_CLOSED", () => {})).toThrow(
      /toloka has no event type "POOL_CLOSE". It has POOL_CLOSED, .*onUnrecognized/,
    );
    expect(() => receiver.on("constructor" as "POOL_CLOSED", () => {})).toThrow(
      /no event type "constructor"/,
    );
    for (const [listener, kind] of [
      [undefined, "undefined"],
      [null, "null"],
      [{}, "object"],
    ] as const) {
      expect(() => receiver.onAny(listener as never)).toThrow(`A listener must be a function, not ${kind}.`);
    }
  });

  test("an event whose data does not fit its type fails where nobody listens for that, and says by what", async () => {
    const receiver = receiverWith();
    const errors: unknown[] = [];
    const listener = vi.fn();
    receiver.onAny(listener);
    receiver.onError((error) => errors.push(error));
    const event = tolokaEvent("POOL_CLOSED", { uuid: "x", close_reason: ["hunter2"] });
    const reply = await receiver.handle(signed(event));
    expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_FAILED", failed: 1 });
    expect(listener).not.toHaveBeenCalled();
    expect(errors).toMatchObject([
      { message: expect.stringMatching(/event x does not fit "POOL_CLOSED": close_reason: expected string/) },
    ]);
  });

  test("a thenable is waited for, and one whose then throws fails the event", async () => {
    const receiver = receiverWith();
    receiver.onError(() => {});
    let waited = false;
    receiver.on("POOL_CLOSED", () => ({
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
      then(resolve: () => void) {
        waited = true;
        resolve();
      },
    }));
    expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).status).toBe(200);
    expect(waited).toBe(true);
    receiver.on("TEST_EVENT", () => ({
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
      get then() {
        throw new Error("broken");
      },
    }));
    expect((await receiver.handle(signed(tolokaEvent("TEST_EVENT")))).status).toBe(500);
  });
});

describe("handle", () => {
  test("takes headers of any make: a record in any case, Headers, or something with get", async () => {
    const receiver = receiverWith();
    const { headers, body } = signed();
    const header = headers["toloka-signature"] as string;
    for (const form of [
      { "Toloka-Signature": header },
      { "toloka-signature": [header] },
      new Headers({ "TOLOKA-SIGNATURE": header }),
      new Map([["toloka-signature", header]]),
    ]) {
      expect((await receiver.handle({ method: "POST", headers: form, body })).status).toBe(200);
    }
    const twice = { "Toloka-Signature": header, "toloka-signature": header };
    expect((await receiver.handle({ method: "POST", headers: twice, body })).status).toBe(401);
  });

  test("takes a body as bytes, as text, or as a function that is asked only if the head of the request passes", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed();
    const bytes = new TextEncoder().encode(body);
    const read = vi.fn((_limit: number) => bytes);
    for (const form of [bytes, Buffer.from(body), body, read, async () => bytes]) {
      expect((await receiver.handle({ method, headers, body: form })).status).toBe(200);
    }
    expect(read).toHaveBeenCalledExactlyOnceWith(5 * 1024 * 1024);
    await receiver.handle({ method: "GET", headers, body: read });
    await receiver.handle({ method, headers: { ...headers, "content-encoding": "gzip" }, body: read });
    expect(read).toHaveBeenCalledOnce();
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("gone");
      },
    ],
    ["rejects", () => Promise.reject(new Error("gone"))],
  ])("a body that %s is a body that broke off", async (_, body) => {
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, "BODY_ABORTED"]);
  });

  test("whatever else goes wrong is INTERNAL_ERROR, never a rejection, and its message stays inside", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const failing: Provider = {
      ...(toloka as unknown as Provider),
      parseEvents() {
        throw new RangeError("hunter2");
      },
    };
    const receiver = createReceiver(failing, { unsigned: true });
    const reply = await receiver.handle({ method: "POST", headers: {}, body: "{}" });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([500, "INTERNAL_ERROR"]);
    expect(log.mock.calls.join()).toContain("RangeError");
    expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
  });

  test("the signal is made once for a delivery, and only if a listener asks for it", async () => {
    const receiver = receiverWith();
    const controller = new AbortController();
    const made = vi.fn(() => controller.signal);
    const delivery = (...events: object[]) =>
      Object.defineProperty({ ...signed(...events) }, "signal", { get: made });
    await receiver.handle(delivery(tolokaEvent("POOL_CLOSED")));
    expect(made).not.toHaveBeenCalled();
    const signals = new Set<AbortSignal>();
    receiver.onAny((_, context) => signals.add(context.signal));
    await receiver.handle(delivery(tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")));
    expect(made).toHaveBeenCalledOnce();
    expect([...signals]).toEqual([controller.signal]);
  });

  test("a body of exactly the greatest size is accepted, one of a byte more is not, read or yet to be read", async () => {
    const { method, headers, body } = signed();
    const exact = receiverWith({ maxBodySize: body.length });
    const less = receiverWith({ maxBodySize: body.length - 1 });
    for (const form of [body, new TextEncoder().encode(body), () => body]) {
      expect((await exact.handle({ method, headers, body: form })).status).toBe(200);
      const reply = await less.handle({ method, headers, body: form });
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([413, "BODY_TOO_LARGE"]);
    }
  });

  test("the encoding identity is none, however it is written", async () => {
    const { method, headers, body } = signed();
    for (const [encoding, status] of [
      ["identity", 200],
      [" Identity ", 200],
      ["", 200],
      ["gzip", 415],
    ] as const) {
      const reply = await receiverWith().handle({
        method,
        headers: { ...headers, "content-encoding": encoding },
        body,
      });
      expect([encoding, reply.status]).toEqual([encoding, status]);
    }
  });

  test.each<[string, () => unknown]>([
    ["BODY_TOO_LARGE", () => ({ code: "BODY_TOO_LARGE" })],
    ["BODY_ABORTED", async () => ({ code: "BODY_ABORTED" })],
    ["BODY_UNAVAILABLE", async () => ({ code: "BODY_UNAVAILABLE" })],
    ["BODY_UNAVAILABLE", () => ({ code: "NOT_FOUND" })],
    ["BODY_UNAVAILABLE", () => null],
    ["BODY_UNAVAILABLE", () => undefined],
  ])("a function that reads the body may say %s, and nothing else (%#)", async (code, body) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body: body as () => string });
    expect(JSON.parse(reply.body)).toEqual({ code, message: expect.any(String) });
    // What anyone can send is no line in the log.
    expect(log).toHaveBeenCalledTimes(code === "BODY_UNAVAILABLE" ? 1 : 0);
  });

  test("a delivery is in time up to the tolerance, either way, and not a millisecond further", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    for (const [tolerance, age, status] of [
      [undefined, 300_000, 200],
      [undefined, 300_001, 401],
      [undefined, -300_000, 200],
      [undefined, -300_001, 401],
      [1, 1_000, 200],
      [1, 1_001, 401],
      [0, 0, 200],
      [0, 1, 401],
    ] as const) {
      const delivery = signToloka({ secret: SECRET, timestamp: NOW - age });
      const reply = await receiverWith({ tolerance }).handle(delivery);
      expect([tolerance, age, reply.status]).toEqual([tolerance, age, status]);
    }
  });

  test("what is signed and no JSON, or no envelope, is refused, and logged as lost", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const [body, code] of [
      ["hunter2", "BODY_NOT_JSON"],
      ["[]", "ENVELOPE_INVALID"],
    ] as const) {
      const reply = await receiverWith().handle(signToloka({ secret: SECRET, timestamp: NOW, body }));
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, code]);
      expect(log.mock.lastCall?.join()).toMatch(new RegExp(`${code}.*lost`));
    }
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test("without a sender's signal there is one all the same, which does not abort", async () => {
    const receiver = receiverWith();
    const aborted: boolean[] = [];
    receiver.onAny((_, { signal }) => aborted.push(signal.aborted));
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(aborted).toEqual([false]);
  });

  test("a listener gets the delivery as it was verified: its method, its headers, its bytes", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed(tolokaEvent("POOL_CLOSED"));
    const seen: unknown[] = [];
    receiver.onAny((_, { delivery }) => {
      seen.push(delivery.method, delivery.headers.get("Toloka-Signature"));
      seen.push(new TextDecoder().decode(delivery.body));
    });
    await receiver.handle({ method, headers, body });
    expect(seen).toEqual(["POST", headers["toloka-signature"], body]);
  });

  test("a clock that gives no number lets nothing pass", async () => {
    const reply = await receiverWith({ clock: () => Number.NaN }).handle(signed());
    expect(JSON.parse(reply.body).code).toBe("TIMESTAMP_OUT_OF_TOLERANCE");
  });

  test("keys are prepared once, not per delivery", async () => {
    const prepare = vi.spyOn(hmac, "prepareKey");
    const fixed = receiverWith({ secret: ["a", SECRET] });
    const asked = vi.fn(() => [SECRET, "b"]);
    const called = receiverWith({ secret: asked });
    for (let i = 0; i < 10; i++) {
      expect((await fixed.handle(signed())).status).toBe(200);
      expect((await called.handle(signed())).status).toBe(200);
    }
    expect(asked).toHaveBeenCalledTimes(10);
    expect(
      prepare.mock.calls
        .flat()
        .filter((secret) => typeof secret === "string")
        .sort(),
    ).toEqual(["a", "b", SECRET, SECRET].sort());
  });

  test("the same mistake over and over is logged once a minute", async () => {
    vi.useFakeTimers({ now: NOW });
    try {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith();
      const gone = {
        method: "POST",
        headers: {},
        body: () => ({ code: "BODY_UNAVAILABLE", hint: "mend it" }) as const,
      };
      for (let i = 0; i < 100; i++) await receiver.handle(gone);
      expect(log).toHaveBeenCalledOnce();
      expect(log.mock.calls.join()).toContain("mend it");
      vi.advanceTimersByTime(60_000);
      await receiver.handle(gone);
      expect(log).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });

  test("a duplicate that waits for the first fails with it, and runs when it comes again", async () => {
    const receiver = receiverWith();
    receiver.onError(() => {});
    let fail: (reason: unknown) => void = () => {};
    const listener = vi.fn(
      () =>
        new Promise((_, reject) => {
          fail = reject;
        }),
    );
    receiver.on("POOL_CLOSED", listener);
    const delivery = signed(tolokaEvent("POOL_CLOSED"));
    const first = receiver.handle(delivery);
    const second = receiver.handle(delivery);
    await vi.waitFor(() => expect(listener).toHaveBeenCalledOnce());
    fail(new Error("broken"));
    expect([(await first).status, (await second).status]).toEqual([500, 500]);
    listener.mockResolvedValue(undefined);
    expect((await receiver.handle(delivery)).status).toBe(200);
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("deliveries that hold each other's events in other orders all come to an end", async () => {
    const receiver = receiverWith();
    const ran: string[] = [];
    receiver.onAny(async (event) => {
      await Promise.resolve();
      ran.push(event.id);
    });
    const events = ["a", "b", "c", "d"].map((uuid) => tolokaEvent("TEST_EVENT", { uuid }));
    const orders = [events, [...events].reverse(), [...events.slice(2), ...events.slice(0, 2)]];
    const replies = await Promise.all(orders.map((order) => receiver.handle(signed(...order))));
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200]);
    expect(ran.sort()).toEqual(["a", "b", "c", "d"]);
  });

  test("what is done is remembered for twice the tolerance where that is longer than a day", async () => {
    const clock = testClock(NOW);
    const day = 24 * 60 * 60;
    const receiver = receiverWith({ clock, tolerance: day });
    const event = tolokaEvent("POOL_CLOSED");
    await receiver.handle(signToloka({ secret: SECRET, timestamp: NOW + day * 1000, events: [event] }));
    clock.advance(2 * day * 1000 - 1);
    const replayed = signToloka({ secret: SECRET, timestamp: NOW + day * 1000, events: [event] });
    expect(JSON.parse((await receiver.handle(replayed)).body)).toMatchObject({ duplicate: 1 });
  });

  test("what is done may run again once it is forgotten, a day after it was delivered", async () => {
    const clock = testClock(NOW);
    const receiver = receiverWith({ clock });
    const event = tolokaEvent("POOL_CLOSED");
    const deliver = async () => {
      const delivery = signToloka({ secret: SECRET, timestamp: clock(), events: [event] });
      return JSON.parse((await receiver.handle(delivery)).body);
    };
    expect(await deliver()).toMatchObject({ handled: 1 });
    clock.advance(24 * 60 * 60 * 1000 - 1);
    expect(await deliver()).toMatchObject({ duplicate: 1 });
    clock.advance(1);
    expect(await deliver()).toMatchObject({ handled: 1 });
  });

  test("an event without an id is handled each time it comes, for there is nothing to claim it by", async () => {
    for (const options of [{}, { claims: memoryClaims() }, { claims: memoryClaims(), detectStale: true }]) {
      const receiver = receiverWith(options);
      receiver.onError(() => {});
      const listener = vi.fn().mockRejectedValueOnce(new Error("broken"));
      receiver.onUnrecognized(listener);
      const delivery = signed(tolokaEvent("POOL_CLOSED", { uuid: undefined }));
      expect((await receiver.handle(delivery)).status).toBe(500);
      expect((await receiver.handle(delivery)).status).toBe(200);
      expect((await receiver.handle(delivery)).status).toBe(200);
      expect(listener).toHaveBeenCalledTimes(3);
    }
  });
});

describe("errors", () => {
  test("the sentences are such that JSON escapes nothing, and ASCII, as a reply's Content-Length counts on", () => {
    for (const { message } of Object.values(ERRORS)) expect(JSON.stringify(message)).toBe(`"${message}"`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
    for (const { message } of Object.values(ERRORS)) expect(message).toMatch(/^[\x00-\x7f]+$/);
  });
});

describe("a secret function", () => {
  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new RangeError("hunter2");
      },
    ],
    ["rejects", () => Promise.reject(new RangeError("hunter2"))],
    ["gives what cannot be a secret", () => ["hunter2", ""]],
    ["promises what cannot be a secret", async () => ["hunter2", ""]],
  ])(
    "that %s costs SECRET_UNAVAILABLE, which is sent again; nothing of it is told or logged",
    async (_, secret) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith({ secret: secret as () => string });
      const listener = vi.fn();
      receiver.onAny(listener);
      const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([503, "SECRET_UNAVAILABLE"]);
      expect(log.mock.calls.join()).toMatch(/SECRET_UNAVAILABLE.*(Range|Type)Error/);
      expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
      expect(listener).not.toHaveBeenCalled();
    },
  );

  test("is given the delivery, and not called for what is not signed as it should be", async () => {
    const secret = vi.fn(() => SECRET);
    const receiver = receiverWith({ secret });
    const delivery = signed();
    await receiver.handle({ ...delivery, headers: {} });
    await receiver.handle({ ...delivery, headers: { "toloka-signature": "{}" } });
    expect(secret).not.toHaveBeenCalled();
    await receiver.handle(delivery);
    expect(secret).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ method: "POST" }));
  });
});

describe("a sink", () => {
  const ids = (accept: ReturnType<typeof vi.fn>) =>
    accept.mock.calls.map(([events]) => events.map(({ id }: { id: string }) => id));
  const closed = (uuid: string) => tolokaEvent("POOL_CLOSED", { uuid });

  test("takes those of a delivery that are won, all at once, in place of the listeners", async () => {
    const claims = memoryClaims();
    claims.claim("toloka:held", "another process", 60_000);
    for (const accept of [vi.fn(), vi.fn(async () => {})]) {
      const receiver = receiverWith({ claims, sink: { accept } });
      const listener = vi.fn();
      receiver.onAny(listener);
      const name = String(Math.random());
      const delivery = signed(closed(`${name}-1`), closed("held"), closed(`${name}-2`));
      const reply = await receiver.handle(delivery);
      expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_BUSY", handled: 2, busy: 1 });
      expect(ids(accept)).toEqual([[`${name}-1`, `${name}-2`]]);
      expect(accept.mock.lastCall?.[1]).toMatchObject({ stale: false, delivery: { method: "POST" } });
      const again = await receiver.handle(delivery);
      expect(JSON.parse(again.body)).toMatchObject({ duplicate: 2, busy: 1 });
      expect(accept).toHaveBeenCalledOnce();
      expect(listener).not.toHaveBeenCalled();
    }
  });

  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("hunter2");
      },
    ],
    ["rejects", () => Promise.reject(new Error("hunter2"))],
  ])("that %s has none of them: 503, and a redelivery is offered to it again", async (_, fail) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    for (const claims of [undefined, store]) {
      const accept = vi.fn<() => unknown>().mockImplementationOnce(fail);
      const receiver = receiverWith({ claims, sink: { accept: accept as () => void } });
      const delivery = signed(closed("1"), closed("2"));
      const reply = await receiver.handle(delivery);
      expect([reply.status, JSON.parse(reply.body)]).toEqual([
        503,
        expect.objectContaining({ code: "SINK_UNAVAILABLE", handled: 0, failed: 0 }),
      ]);
      expect(store.claim("toloka:1", "another process", 0)).toBe("won");
      expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ handled: 2 });
      expect(ids(accept)).toEqual([
        ["1", "2"],
        ["1", "2"],
      ]);
    }
    expect(log.mock.calls.join()).toContain("SINK_UNAVAILABLE");
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });
});

describe("emit", () => {
  const event = { provider: "toloka", type: "NEW", id: "x", occurredAt: undefined, data: {}, problems: [] };
  const { signal } = new AbortController();

  test("resolves when all listeners have succeeded, each given what the worker gives, and no delivery", async () => {
    const receiver = receiverWith({ sink: { accept() {} } });
    const contexts: object[] = [];
    receiver.onAny(async (_, context) => contexts.push(context));
    const progress = async () => {};
    await receiver.dispatch(event, { signal, attempt: 3, progress });
    expect(contexts).toEqual([{ signal, attempt: 3, progress, stale: false }]);
    expect(() => (contexts[0] as { delivery: unknown }).delivery).toThrow(
      /context.delivery does not exist behind a sink/,
    );
  });

  test("rejects with what one listener threw, and with all of it if several did", async () => {
    const receiver = receiverWith();
    receiver.onError(() => {});
    const errors = [new Error("one"), new Error("two")];
    const [one, two] = errors;
    receiver.onAny(() => Promise.reject(one));
    await expect(receiver.dispatch(event, { signal })).rejects.toBe(one);
    receiver.onAny(() => {
      throw two;
    });
    await expect(receiver.dispatch(event, { signal })).rejects.toMatchObject({
      name: "AggregateError",
      errors: expect.arrayContaining(errors),
      message: "Several listeners failed.",
    });
  });
});

describe("one code for all events", () => {
  test("what the operator has to mend comes before what mends itself", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    store.claim("toloka:busy", "another process", 60_000);
    const broken = (): never => {
      throw new Error("broken");
    };
    const claims: ClaimStore = {
      ...store,
      claim: (key, ...rest) => (key.startsWith("toloka:claim_failed") ? broken() : store.claim(key, ...rest)),
      settle: (key, ...rest) =>
        key.startsWith("toloka:settle_failed") ? broken() : store.settle(key, ...rest),
    };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    receiver.onAny(({ id }) => (id.startsWith("failed") ? broken() : undefined));
    for (const [ids, content] of [
      [["handled", "busy"], { code: "EVENT_BUSY", handled: 1, busy: 1 }],
      [["claim_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 0, busy: 1 }],
      [["settle_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 1, busy: 1 }],
      [["claim_failed", "settle_failed 2"], { code: "STORE_UNAVAILABLE", handled: 1 }],
      [["failed", "claim_failed", "busy"], { code: "EVENT_FAILED", failed: 1, handled: 0, busy: 1 }],
      [["settle_failed 3", "failed"], { code: "EVENT_FAILED", failed: 1, handled: 1 }],
    ] as const) {
      const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
      expect(JSON.parse((await receiver.handle(signed(...events))).body)).toMatchObject(content);
    }
    const offered = receiverWith({ claims, sink: { accept: broken } });
    for (const [ids, content] of [
      [["a", "claim_failed", "busy"], { code: "SINK_UNAVAILABLE", handled: 0, busy: 1 }],
      [["claim_failed", "busy"], { code: "STORE_UNAVAILABLE", handled: 0, busy: 1 }],
    ] as const) {
      const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
      expect(JSON.parse((await offered.handle(signed(...events))).body)).toMatchObject(content);
    }
  });
});

describe("what is not bytes", () => {
  test("an ArrayBuffer, any view, and text of a function are bytes", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed(tolokaEvent("POOL_CLOSED"));
    const bytes = new TextEncoder().encode(body);
    const { runInNewContext } = await import("node:vm");
    const foreign = runInNewContext("Uint8Array.from(bytes)", { bytes: [...bytes] });
    for (const form of [bytes.buffer, new DataView(bytes.buffer), foreign, () => body, () => bytes.buffer]) {
      expect((await receiver.handle({ method, headers, body: form })).status).toBe(200);
    }
  });

  test.each<[string, unknown]>([
    ["a parsed body", { events: [] }],
    ["a parsed body that looks like a failure", { code: "BODY_TOO_LARGE", hint: "hunter2" }],
    ["nothing", undefined],
    ["null", null],
    ["a number", 7],
    ["a function of a parsed body", () => ({ events: [] })],
  ])("%s is BODY_UNAVAILABLE, never a success, and the log tells the fix", async (_, body) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body: body as string });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([500, "BODY_UNAVAILABLE"]);
    expect(log.mock.calls.join()).toContain("raw bytes");
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });
});

describe("bad luck", () => {
  test("a console that throws harms no delivery and leaves no event stuck", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {
      throw new Error("console broken");
    });
    const receiver = receiverWith();
    let broken = true;
    receiver.on("POOL_CLOSED", () => {
      if (broken) throw new Error("broken");
    });
    const delivery = signed(tolokaEvent("POOL_CLOSED"));
    expect((await receiver.handle(delivery)).status).toBe(500);
    log.mockRestore();
    broken = false;
    expect((await receiver.handle(delivery)).status).toBe(200);
  });

  test("an event that fails is named in the log if no onError listener hears of it, without its error", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onAny(() => Promise.reject(new Error("hunter2")));
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "the event" })));
    expect(log.mock.calls.join()).toMatch(/EVENT_FAILED.*"the event".*"POOL_CLOSED"/);
    receiver.onError(() => {});
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "another" })));
    expect(log).toHaveBeenCalledOnce();
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test("what a provider names an event cannot forge a line of the log", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onUnrecognized(() => {
      throw new Error("broken");
    });
    await receiver.handle(
      signed({ ...tolokaEvent("POOL_CLOSED"), type: `X\n2026 FAKE \u001b[2J${"y".repeat(9999)}` }),
    );
    const line = log.mock.calls.join();
    expect(line).not.toContain("\n");
    expect(line).not.toContain("\u001b");
    expect(line.length).toBeLessThan(400);
  });

  test("a delivery that no secret fits, or that is off in time, is logged for the operator without the secret", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    await receiver.handle(signToloka({ secret: "another", timestamp: NOW }));
    await receiver.handle(signToloka({ secret: SECRET, timestamp: NOW - 400_000 }));
    expect(log.mock.calls.join("\n")).toMatch(
      /SIGNATURE_MISMATCH.*\n.*TIMESTAMP_OUT_OF_TOLERANCE.* 400 seconds/,
    );
    expect(log.mock.calls.join()).not.toContain(SECRET);
  });

  test("thenables of the simplest make are waited for, from a store and from a secret function", async () => {
    const thenable = <T>(value: T): Promise<T> => {
      const then = (resolve: (value: T) => void) => queueMicrotask(() => resolve(value));
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
      return Object.defineProperty({}, "then", { value: then }) as Promise<T>;
    };
    const receiver = receiverWith({
      secret: () => thenable(SECRET),
      claims: {
        claim: () => thenable("won"),
        settle: () => thenable(true),
        release: () => thenable(undefined),
      },
    });
    expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).status).toBe(200);
  });
});

describe("with a store of one's own", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: NOW });
    return () => vi.useRealTimers();
  });

  /** Resolves when asked to, so that a test decides when a listener is done. */
  function gate() {
    let open = () => {};
    const passed = new Promise<void>((resolve) => {
      open = resolve;
    });
    return { passed, open };
  }

  test("a store that does not answer has failed after three seconds, and what it then claims is released", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    let answer: (claim: "won") => void = () => {};
    const release = vi.fn();
    const claim = () =>
      new Promise<"won">((resolve) => {
        answer = resolve;
      });
    const receiver = receiverWith({ claims: { claim, settle: () => true, release } });
    const reply = receiver.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "slow" })));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(JSON.parse((await reply).body)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 0 });
    expect(log.mock.calls.join()).toContain("StoreTimeout");
    expect(release).not.toHaveBeenCalled();
    answer("won");
    await vi.advanceTimersByTimeAsync(0);
    expect(release).toHaveBeenCalledExactlyOnceWith("toloka:slow", expect.any(String));
  });

  test("the claim of a long listener is renewed, so that no other process wins it", async () => {
    const claims = memoryClaims();
    const one = receiverWith({ claims });
    const two = receiverWith({ claims });
    const { passed, open } = gate();
    one.on("POOL_CLOSED", () => passed);
    const heard = vi.fn();
    two.on("POOL_CLOSED", heard);
    const delivery = signed(tolokaEvent("POOL_CLOSED"));
    const first = one.handle(delivery);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(JSON.parse((await two.handle(delivery)).body)).toMatchObject({ code: "EVENT_BUSY" });
    open();
    expect((await first).status).toBe(200);
    expect(JSON.parse((await two.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
    expect(heard).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([
    ["found out by a renewal", 10_000],
    ["found out before its listeners run", 0],
  ])(
    "an event whose claim was lost before its turn came is not handled again (%s)",
    async (_, milliseconds) => {
      const claims = memoryClaims();
      const receiver = receiverWith({ claims });
      const { passed, open } = gate();
      const heard: string[] = [];
      receiver.onAny((event) => {
        heard.push(event.id);
        return event.id === "first" ? passed : undefined;
      });
      const reply = receiver.handle(
        signed(...["first", "second"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }))),
      );
      await vi.advanceTimersByTimeAsync(0);
      // As after a pause of this process that was longer than the lease.
      vi.setSystemTime(Date.now() + 31_000);
      const paused = performance.now() + 31_000;
      vi.spyOn(performance, "now").mockImplementation(() => paused);
      expect(claims.claim("toloka:second", "another process", 30_000)).toBe("won");
      expect(claims.settle("toloka:second", "another process", 1_000_000)).toBe(true);
      await vi.advanceTimersByTimeAsync(milliseconds);
      open();
      expect(JSON.parse((await reply).body)).toMatchObject({ handled: 1, duplicate: 1 });
      expect(heard).toEqual(["first"]);
    },
  );

  test("claims are renewed of events that wait or run, and of no others", async () => {
    const store = memoryClaims();
    store.claim("toloka:busy", "another process", 60_000);
    const claim = vi.fn(store.claim);
    // Both are under way when the others are renewed.
    const late = (act: () => unknown) =>
      new Promise<never>((resolve) => setTimeout(() => resolve(act() as never), 2_000));
    const claims: ClaimStore = {
      claim,
      settle: (...args) =>
        args[0] === "toloka:settling" ? late(() => store.settle(...args)) : store.settle(...args),
      release: (...args) => late(() => store.release(...args)),
    };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    const first = gate();
    const { passed, open } = gate();
    receiver.onAny(async ({ id }) => {
      if (id === "first") await first.passed;
      if (id === "failing") throw new Error("broken");
      if (id === "long") await passed;
    });
    const ids = ["handled", undefined, "busy", "first", "settling", "failing", "long", "waiting"];
    receiver.onUnrecognized(() => {});
    const reply = receiver.handle(signed(...ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }))));
    await vi.advanceTimersByTimeAsync(9_000);
    first.open();
    await vi.advanceTimersByTimeAsync(500);
    claim.mockClear();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(claim.mock.calls.map(([key]) => key)).toEqual(["toloka:long", "toloka:waiting"]);
    open();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(JSON.parse((await reply).body)).toMatchObject({ handled: 5, failed: 1, busy: 1, unrecognized: 1 });
  });

  test("the reply waits until what was handled is settled, and what is stale by it remembered", async () => {
    for (const method of ["settle", "recordOccurrence"] as const) {
      const store = memoryClaims();
      const { passed, open } = gate();
      const claims = { ...store, [method]: () => passed.then(() => true) };
      const receiver = receiverWith({ claims, detectStale: true });
      let replied = false;
      const reply = receiver.handle(signed(tolokaEvent("POOL_CLOSED"))).then(() => {
        replied = true;
      });
      await vi.advanceTimersByTimeAsync(1_000);
      expect([method, replied]).toEqual([method, false]);
      open();
      await reply;
    }
  });

  test("whoever waits for an event that is under way is told after half a minute that it is busy", async () => {
    const receiver = receiverWith();
    const { passed, open } = gate();
    receiver.on("POOL_CLOSED", () => passed);
    const delivery = signed(tolokaEvent("POOL_CLOSED"));
    const first = receiver.handle(delivery);
    const second = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(JSON.parse((await second).body)).toMatchObject({ code: "EVENT_BUSY", busy: 1 });
    open();
    expect((await first).status).toBe(200);
  });

  test("a release that is late does not free the claim that a redelivery won", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    const late: (() => void)[] = [];
    const claims = {
      ...store,
      release: (key: string, owner: string) => {
        late.push(() => void store.release(key, owner));
        store.release(key, owner);
        return new Promise<void>(() => {});
      },
    };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    const { passed, open } = gate();
    const listener = vi
      .fn<() => unknown>()
      .mockRejectedValueOnce(new Error("broken"))
      .mockReturnValueOnce(passed);
    receiver.on("POOL_CLOSED", listener);
    const delivery = signed(tolokaEvent("POOL_CLOSED", { uuid: "k" }));
    const failed = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(3_000);
    expect((await failed).status).toBe(500);
    const again = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(0);
    for (const release of late) release();
    expect(store.claim("toloka:k", "another process", 1_000)).toBe("busy");
    open();
    expect((await again).status).toBe(200);
  });

  test("is asked by keys of the provider's name, under one owner for a delivery, and told for how long", async () => {
    const { claim, settle, release } = memoryClaims();
    const claims = { claim: vi.fn(claim), settle: vi.fn(settle), release: vi.fn(release) };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    receiver.onAny(({ id }) => {
      if (id === "b") throw new Error("broken");
    });
    const day = 24 * 60 * 60 * 1000;
    const events = ["a", "b"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
    await receiver.handle(signed(...events));
    const owner = claims.claim.mock.lastCall?.[1];
    expect(claims.claim.mock.calls).toEqual([
      ["toloka:a", owner, 30_000],
      ["toloka:b", owner, 30_000],
    ]);
    expect(claims.settle.mock.calls).toEqual([["toloka:a", owner, day]]);
    expect(claims.release.mock.calls).toEqual([["toloka:b", owner]]);
    await receiver.handle(signed(...events));
    await receiverWith({ claims }).handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "c" })));
    const owners = new Set(claims.claim.mock.calls.map(([, owner]) => owner));
    expect(owners.size).toBe(3);
  });

  test("is not asked to release what it did not grant", async () => {
    const release = vi.fn();
    for (const claim of ["busy", "done"] as const) {
      const receiver = receiverWith({ claims: { claim: () => claim, settle: () => true, release } });
      await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    }
    expect(release).not.toHaveBeenCalled();
  });

  test("an event that another process holds, or that the store failed at, is asked for anew by a redelivery", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = (): never => {
      throw new Error("broken");
    };
    const claim = vi
      .fn<() => "won" | "busy">(() => "won")
      .mockReturnValueOnce("busy")
      .mockImplementationOnce(broken);
    const receiver = receiverWith({ claims: { claim, settle: () => true, release() {} } });
    const codes: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      codes.push(
        JSON.parse((await receiver.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "x" })))).body).code,
      );
    }
    expect(codes).toEqual(["EVENT_BUSY", "STORE_UNAVAILABLE", undefined]);
  });

  test("a store that fails is told of by kind, and not by message", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const error = Object.assign(new Error("redis://:hunter2@store"), { code: "ECONNREFUSED" });
    const fails = [
      () => Promise.reject(error),
      () => {
        throw error;
      },
    ];
    for (const [i, fail] of fails.entries()) {
      for (const [failing, handled] of [
        [{ claim: fail }, 0],
        [{ settle: fail }, 1],
      ] as const) {
        const receiver = receiverWith({ claims: { ...memoryClaims(), ...failing } });
        const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
        expect([i, reply.status, JSON.parse(reply.body)]).toEqual([
          i,
          503,
          expect.objectContaining({ code: "STORE_UNAVAILABLE", handled }),
        ]);
        expect(log.mock.lastCall?.join()).toMatch(/STORE_UNAVAILABLE.*failed \(Error ECONNREFUSED\)/);
      }
    }
    expect(log).toHaveBeenCalledTimes(4);
    expect(log.mock.calls.join()).not.toContain("hunter2");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a release that fails costs no reply: the event has failed, and its claim runs out by itself", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const release = () => Promise.reject(new Error("broken"));
    const receiver = receiverWith({ claims: { claim: () => "won", settle: () => true, release } });
    receiver.onError(() => {});
    receiver.onAny(() => Promise.reject(new Error("broken")));
    const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_FAILED", failed: 1 });
  });

  test("a claim that was lost in spite of all is said in the log", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ claims: { claim: () => "won", settle: () => false, release() {} } });
    expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).status).toBe(200);
    expect(log.mock.calls.join()).toContain("a claim was lost");
  });
});

describe("with a store that takes its time", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: NOW });
    vi.spyOn(console, "error").mockImplementation(() => {});
    return () => vi.useRealTimers();
  });

  const LATENCY = 20;
  /** The store in memory, each answer of it some milliseconds away. */
  function slowClaims() {
    const store = memoryClaims();
    const later = <T>(act: () => MaybePromise<T>) =>
      new Promise<T>((resolve) => setTimeout(() => resolve(act()), LATENCY));
    const slow: ClaimStore = {
      claim: (...args) => later(() => store.claim(...args)),
      settle: (...args) => later(() => store.settle(...args)),
      release: (...args) => later(() => store.release(...args)),
    };
    return { store, slow };
  }
  const prolificWith = (options: ReceiverOptions = {}) =>
    createReceiver(prolific, { secret: SECRET, clock: () => NOW, ...options });
  const sign = (resource_id: string, id: string, seconds = 0) =>
    signProlific({
      secret: SECRET,
      id,
      timestamp: NOW + seconds * 1000,
      event: prolificEvent("study.status.change", { resource_id }),
    });
  const as = (delivery: ReturnType<typeof sign>, id: string) => ({
    ...delivery,
    headers: { ...delivery.headers, "x-event-id": id },
  });
  /** The answers, once all timers that stand between have run. */
  async function answers(...deliveries: Promise<{ body: string }>[]) {
    await vi.advanceTimersByTimeAsync(1_000);
    return (await Promise.all(deliveries)).map((reply) => JSON.parse(reply.body));
  }

  test("a captured request under the id of another event costs that event nothing", async () => {
    const receiver = prolificWith({ claims: slowClaims().slow });
    let broken = false;
    const ran: string[] = [];
    receiver.onError(() => {});
    receiver.onAny((event) => {
      ran.push(event.id);
      if (broken) throw new Error("broken");
    });
    const captured = sign("one", "id-1");
    await answers(receiver.handle(captured));
    broken = true;
    await answers(receiver.handle(sign("two", "id-2")));
    broken = false;
    const [forged, genuine] = await answers(
      receiver.handle(as(captured, "id-2")),
      receiver.handle(sign("two", "id-2", 60)),
    );
    expect(forged).toMatchObject({ duplicate: 1 });
    expect(genuine).toMatchObject({ handled: 1 });
    expect(ran).toEqual(["id-1", "id-2", "id-2"]);
  });

  test("the signature of a redelivery that only waited for the first is used up, too", async () => {
    for (const claims of [memoryClaims(), slowClaims().slow]) {
      const receiver = prolificWith({ claims });
      const ran: string[] = [];
      receiver.onAny(async (event) => {
        ran.push(event.id);
        await new Promise((resolve) => setTimeout(resolve, 500));
      });
      const redelivery = sign("one", "id-1", 60);
      const both = await answers(receiver.handle(sign("one", "id-1")), receiver.handle(redelivery));
      expect(both).toMatchObject([{ handled: 1 }, { duplicate: 1 }]);
      expect(await answers(receiver.handle(as(redelivery, "forged")))).toMatchObject([{ duplicate: 1 }]);
      expect(ran).toEqual(["id-1"]);
    }
  });

  test("a captured request without its id, or with one beyond measure, does not run again", async () => {
    const receiver = prolificWith();
    const ran = vi.fn();
    receiver.onAny(ran);
    receiver.onUnrecognized(ran);
    const delivery = sign("one", "id-1");
    await answers(receiver.handle(delivery));
    for (const id of ["", "x".repeat(256)]) {
      expect(await answers(receiver.handle(as(delivery, id)))).toMatchObject([{ duplicate: 1 }]);
    }
    const idless = as(sign("two", "id-2"), "");
    await answers(receiver.handle(idless));
    await answers(receiver.handle(idless));
    expect(ran).toHaveBeenCalledTimes(2);
    // Each of those that have no id is an event of its own.
    expect(await answers(receiver.handle(as(sign("three", "id-3"), "")))).toMatchObject([
      { unrecognized: 1 },
    ]);
    expect(ran).toHaveBeenCalledTimes(3);
  });

  test("a signature is claimed for as long as it can be replayed, and a minute for clocks that differ", async () => {
    const store = memoryClaims();
    const claim = vi.fn(store.claim);
    const settle = vi.fn(store.settle);
    const receiver = prolificWith({ claims: { ...store, claim, settle }, tolerance: 100 });
    await answers(receiver.handle(sign("one", "id-1")));
    const key = claim.mock.calls[0]?.[0];
    expect(key).toMatch(/^prolific\/signature:[0-9a-f]{64}$/);
    expect(claim.mock.calls).toEqual([
      [key, "id-1", 260_000],
      ["prolific:id-1", expect.any(String), 30_000],
    ]);
    expect(settle.mock.calls).toEqual([
      ["prolific:id-1", claim.mock.lastCall?.[1], 24 * 60 * 60 * 1000],
      [key, "id-1", 260_000],
    ]);
  });

  test("a renewal that is under way when its event fails does not keep the event from a redelivery", async () => {
    const { store, slow } = slowClaims();
    const receiver = receiverWith({ claims: slow });
    receiver.onError(() => {});
    let fail: (error: Error) => void = () => {};
    receiver.on(
      "POOL_CLOSED",
      () =>
        new Promise((_, reject) => {
          fail = reject;
        }),
    );
    let finish: (value?: unknown) => void = () => {};
    receiver.on(
      "TEST_EVENT",
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    const reply = receiver.handle(
      signed(tolokaEvent("POOL_CLOSED", { uuid: "fails" }), tolokaEvent("TEST_EVENT", { uuid: "long" })),
    );
    // The renewals go out, and their answers are on their way, as the first event fails.
    await vi.advanceTimersByTimeAsync(10_000 + LATENCY / 2);
    fail(new Error("broken"));
    await vi.advanceTimersByTimeAsync(15_000);
    expect(store.claim("toloka:fails", "another process", 1_000)).toBe("won");
    expect(store.claim("toloka:long", "another process", 1_000)).toBe("busy");
    finish();
    expect(await answers(reply)).toMatchObject([{ failed: 1, handled: 1 }]);
  });

  test("a delivery of events that are all under way waits half a minute, not that for each", async () => {
    const receiver = receiverWith();
    receiver.onAny(() => new Promise(() => {}));
    const events = ["a", "b", "c"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
    for (const event of events) void receiver.handle(signed(event));
    await vi.advanceTimersByTimeAsync(0);
    const waiting = receiver.handle(signed(...events));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await answers(waiting)).toMatchObject([{ code: "EVENT_BUSY", busy: 3 }]);
  });

  test("a store that stops answering in the middle holds a delivery up once, not for each event", async () => {
    const never = () => new Promise<never>(() => {});
    const receiver = receiverWith({
      claims: { ...memoryClaims(), latestOccurrence: never },
      detectStale: true,
    });
    const reply = receiver.handle(signed(...Array.from({ length: 50 }, () => tolokaEvent("POOL_CLOSED"))));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await answers(reply)).toMatchObject([{ handled: 50 }]);
  });

  test("an event that cannot be claimed again after a pause is left to a redelivery, and its claim given back", async () => {
    const { store, slow } = slowClaims();
    let answering = true;
    const claims: ClaimStore = {
      ...slow,
      claim: (...args) => (answering ? slow.claim(...args) : new Promise(() => {})),
    };
    const receiver = receiverWith({ claims });
    let finish: (value?: unknown) => void = () => {};
    receiver.on(
      "POOL_CLOSED",
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    const heard = vi.fn();
    receiver.on("TEST_EVENT", heard);
    const reply = receiver.handle(
      signed(tolokaEvent("POOL_CLOSED"), ...["x", "y"].map((uuid) => tolokaEvent("TEST_EVENT", { uuid }))),
    );
    await vi.advanceTimersByTimeAsync(LATENCY);
    answering = false;
    await vi.advanceTimersByTimeAsync(40_000);
    finish();
    await vi.advanceTimersByTimeAsync(3_000 + 2 * LATENCY);
    expect(await answers(reply)).toMatchObject([{ code: "STORE_UNAVAILABLE", handled: 1 }]);
    expect(heard).not.toHaveBeenCalled();
    expect(store.claim("toloka:x", "another process", 1_000)).toBe("won");
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("detectStale", () => {
  const at = (seconds: number, fields = {}) =>
    signed(
      tolokaEvent("ASSIGNMENT_SUBMITTED", {
        event_time: new Date(NOW + seconds * 1000).toISOString().slice(0, 19),
        ...fields,
      }),
    );

  test("tells a listener that a later event of the same type and subject was handled before", async () => {
    const receiver = receiverWith({ detectStale: true });
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    for (const seconds of [10, 5, 10, 20]) await receiver.handle(at(seconds));
    await receiver.handle(at(0, { assignment_id: "another" }));
    await receiver.handle(signed(tolokaEvent("ASSIGNMENT_APPROVED", { event_time: "2001-01-01T00:00:00" })));
    expect(stale).toEqual([false, true, false, false, false, false]);
  });

  test("sees the events of the same delivery, too", async () => {
    const receiver = receiverWith({ detectStale: true });
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    const times = ["2020-01-01T00:00:10", "2020-01-01T00:00:00"];
    await receiver.handle(signed(...times.map((event_time) => tolokaEvent("POOL_CLOSED", { event_time }))));
    expect(stale).toEqual([false, true]);
  });

  test("remembers a time for as long as an event counts as done, and asks about none that has no time", async () => {
    const store = memoryClaims();
    const claims = {
      ...store,
      latestOccurrence: vi.fn(store.latestOccurrence),
      recordOccurrence: vi.fn(store.recordOccurrence),
    };
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ detectStale: true, claims });
    const stale: boolean[] = [];
    receiver.onUnrecognized((_, context) => stale.push(context.stale));
    await receiver.handle(at(10, { assignment_id: "a", event_time: "yesterday" }));
    expect([stale, claims.latestOccurrence.mock.calls, log.mock.calls]).toEqual([[false], [], []]);
    await receiver.handle(at(10, { assignment_id: "a" }));
    const key = "toloka/latest:ASSIGNMENT_SUBMITTED:assignment_id:a";
    expect(claims.latestOccurrence.mock.calls).toEqual([[key]]);
    expect(claims.recordOccurrence.mock.calls).toEqual([[key, NOW + 10_000, 24 * 60 * 60 * 1000]]);
  });

  test("what is stale is forgotten a day later, by the receiver's clock", async () => {
    const clock = testClock(NOW);
    const receiver = receiverWith({ detectStale: true, clock });
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    const deliver = (event_time: string) => {
      const events = [tolokaEvent("POOL_CLOSED", { event_time })];
      return receiver.handle(signToloka({ secret: SECRET, timestamp: clock(), events }));
    };
    await deliver("2020-01-01T00:00:10");
    clock.advance(24 * 60 * 60 * 1000 - 1);
    await deliver("2020-01-01T00:00:00");
    clock.advance(24 * 60 * 60 * 1000);
    await deliver("2020-01-01T00:00:00");
    expect(stale).toEqual([false, true, false]);
  });

  test("a store that fails to tell, or to remember, fails no event", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = (): never => {
      throw new Error("broken");
    };
    for (const failing of [{ latestOccurrence: broken }, { recordOccurrence: broken }]) {
      const receiver = receiverWith({ detectStale: true, claims: { ...memoryClaims(), ...failing } });
      const stale: boolean[] = [];
      receiver.onAny((_, context) => stale.push(context.stale));
      const events = [tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")];
      expect((await receiver.handle(signed(...events))).status).toBe(200);
      expect(stale).toEqual([false, false]);
    }
  });

  test("does not count an event that failed", async () => {
    const receiver = receiverWith({ detectStale: true });
    receiver.onError(() => {});
    const off = receiver.onAny(() => Promise.reject(new Error("broken")));
    await receiver.handle(at(10));
    off();
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    await receiver.handle(at(5));
    expect(stale).toEqual([false]);
  });

  test("is off unless asked for, and then takes a store that can tell", async () => {
    const receiver = receiverWith();
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    for (const seconds of [10, 5]) await receiver.handle(at(seconds));
    expect(stale).toEqual([false, false]);
    const { latestOccurrence, recordOccurrence, ...store } = memoryClaims();
    expect(() => receiverWith({ detectStale: true, claims: store })).toThrow(
      /latestOccurrence and recordOccurrence/,
    );
  });
});

describe("close", () => {
  test("refuses what comes after it, body unread, and resolves when what came before has its reply", async () => {
    const receiver = receiverWith();
    let finish: (_?: unknown) => void = () => {};
    receiver.on(
      "POOL_CLOSED",
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    const running = receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    await vi.waitFor(() => expect(finish.length).toBe(1));
    const order: string[] = [];
    void running.then(() => order.push("replied"));
    const closed = receiver.close().then(() => order.push("closed"));
    const body = vi.fn();
    const refused = await receiver.handle({ ...signed(), body });
    expect([refused.status, refused.headers["retry-after"], JSON.parse(refused.body).code]).toEqual([
      503,
      "5",
      "SHUTTING_DOWN",
    ]);
    expect(body).not.toHaveBeenCalled();
    expect(order).toEqual([]);
    finish();
    await closed;
    expect((await running).status).toBe(200);
    expect(order.sort()).toEqual(["closed", "replied"]);
    await receiver.close();
    expect(JSON.parse((await receiver.handle(signed())).body).code).toBe("SHUTTING_DOWN");
  });

  test("of a receiver that is idle resolves at once", async () => {
    await receiverWith().close();
  });
});

describe("construction", () => {
  test.each<[string, object, RegExp]>([
    [
      "unsigned in words",
      { secret: undefined, unsigned: "false" },
      /unsigned must be true or false, not "false"/,
    ],
    ["detectStale in words", { detectStale: "no" }, /detectStale must be true or false, not "no"/],
    ["no store", { claims: null }, /claims must have the method claim/],
    ["a store without methods", { claims: {} }, /claims must have the method claim/],
    ["a sink that is a function", { sink: async () => {} }, /sink must have the method accept/],
    ["a tolerance below zero", { tolerance: -1 }, /tolerance must be a number of seconds, 0 or more.*not -1/],
    ["a tolerance in words", { tolerance: "300" }, /tolerance .* not "300"/],
    ["a size of nothing", { maxBodySize: 0 }, /maxBodySize must be a positive whole number of bytes, not 0/],
    ["a clock that stands", { clock: 0 }, /clock must be a function that returns Unix time in milliseconds/],
    ["a secret beside unsigned", { unsigned: true }, /the secret proves nothing/],
    ["no secret", { secret: undefined }, /The secret is undefined. Set its environment variable/],
    ["an empty secret", { secret: "" }, /The secret is empty/],
    ["an empty list of secrets", { secret: [] }, /The list of secrets is empty/],
    ["a secret that is null", { secret: [null] }, /A secret must be a string, not null/],
    ["a secret with a line break", { secret: "12345\n" }, /begins or ends with white space/],
  ])("%s throws and says so", (_, options, message) => {
    expect(() => receiverWith(options)).toThrow(message);
  });
});

describe("what a receiver remembers by itself", () => {
  const failing = (uuid: string) => tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid });
  const handled = async (receiver: ReturnType<typeof receiverWith>, ...events: object[]) =>
    JSON.parse((await receiver.handle(signed(...events))).body);

  test("is not pushed out by events that are under way, or that fail", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    receiver.on("POOL_CLOSED", listener);
    receiver.on("ASSIGNMENT_SUBMITTED", () => {
      throw new Error("never");
    });
    receiver.onError(() => {});
    const first = tolokaEvent("POOL_CLOSED", { uuid: "first" });
    expect(await handled(receiver, first)).toMatchObject({ handled: 1 });
    const all = Array.from({ length: 110 }, (_, i) =>
      handled(receiver, ...Array.from({ length: 1000 }, (_, j) => failing(`${i}-${j}`))),
    );
    for (const reply of await Promise.all(all)) expect(reply).toMatchObject({ failed: 1000 });
    expect(await handled(receiver, first)).toMatchObject({ duplicate: 1 });
    expect(listener).toHaveBeenCalledOnce();
  });

  test("is remembered however large the tolerance is, and as long as a delivery can be replayed", async () => {
    for (const tolerance of [Number.MAX_VALUE, 1e300, 24 * 60 * 60]) {
      const clock = testClock(NOW);
      const receiver = receiverWith({ clock, tolerance });
      const ahead = Math.min(tolerance * 1000, 1e14);
      const delivery = signToloka({
        secret: SECRET,
        timestamp: NOW + ahead,
        events: [tolokaEvent("POOL_CLOSED")],
      });
      expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ handled: 1 });
      clock.advance(2 * ahead);
      expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
    }
  });
});

describe("the context", () => {
  test("can be copied to add to it, signal and all", async () => {
    const receiver = receiverWith();
    const { signal } = new AbortController();
    const seen: unknown[] = [];
    receiver.on("POOL_CLOSED", (_event, context) => {
      const copy = { ...context, log: () => {} };
      seen.push(copy.signal, copy.stale, copy.delivery.method, Object.create(context).signal);
    });
    await receiver.handle({ ...signed(tolokaEvent("POOL_CLOSED")), signal });
    expect(seen).toEqual([signal, false, "POST", signal]);
  });
});

test("a listener may hand over the next delivery of a backlog, however long that is", async () => {
  const receiver = receiverWith();
  const backlog = Array.from({ length: 5000 }, () => signed(tolokaEvent("POOL_CLOSED")));
  const replies: Promise<unknown>[] = [];
  const next = () => {
    const delivery = backlog.pop();
    if (delivery) replies.push(receiver.handle(delivery).then(({ status }) => status));
  };
  receiver.on("POOL_CLOSED", next);
  next();
  // Each reply may add one.
  for (let i = 0; i < replies.length; i++) expect(await replies[i]).toBe(200);
  expect(replies).toHaveLength(5000);
});

test("a store that tells a latest time that is none has it overlooked, and the turn ends", async () => {
  const claims = { ...memoryClaims({ clock: () => NOW }), latest: () => Symbol("latest") as never };
  const receiver = receiverWith({ claims, detectStale: true });
  const listener = vi.fn();
  receiver.on("POOL_CLOSED", (_event, { stale }) => listener(stale));
  const delivery = signed(tolokaEvent("POOL_CLOSED"));
  expect((await receiver.handle(delivery)).status).toBe(200);
  expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
  expect(listener).toHaveBeenCalledExactlyOnceWith(false);
});
