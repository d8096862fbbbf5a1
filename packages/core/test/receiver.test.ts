import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import { ERRORS } from "../src/errors.js";
import type { Provider } from "../src/provider.js";
import { ASSIGNMENT_EVENT_TYPES, toloka } from "../src/providers/toloka/index.js";
import { createReceiver, type ReceiverOptions } from "../src/receiver.js";
import { signToloka, testClock, tolokaEvent } from "../src/testing.js";

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
      readEvents() {
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

  test("an event without an id is handled each time it comes, for there is nothing to claim it by", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    receiver.onUnrecognized(listener);
    const delivery = signed(tolokaEvent("POOL_CLOSED", { uuid: undefined }));
    expect((await receiver.handle(delivery)).status).toBe(200);
    expect((await receiver.handle(delivery)).status).toBe(200);
    expect(listener).toHaveBeenCalledTimes(2);
  });
});

describe("errors", () => {
  test("the sentences are ASCII, as a reply's Content-Length counts on", () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
    for (const { message } of Object.values(ERRORS)) expect(message).toMatch(/^[\x00-\x7f]+$/);
  });
});
