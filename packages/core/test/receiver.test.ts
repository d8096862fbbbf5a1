import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import { type ClaimStore, memoryClaims } from "../src/claims.js";
import type { MaybePromise } from "../src/delivery.js";
import { ERRORS } from "../src/errors.js";
import type { ReceiverOptions } from "../src/options.js";
import type { Provider } from "../src/provider.js";
import { prolific } from "../src/providers/prolific/index.js";
import { ASSIGNMENT_EVENT_TYPES, toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { prolificEvent, signProlific, signToloka, testClock, tolokaEvent } from "../src/testing.js";

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
  test("the sentences are such that JSON escapes nothing, and ASCII, as a reply's Content-Length counts on", () => {
    for (const { message } of Object.values(ERRORS)) expect(JSON.stringify(message)).toBe(`"${message}"`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
    for (const { message } of Object.values(ERRORS)) expect(message).toMatch(/^[\x00-\x7f]+$/);
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
    vi.spyOn(console, "error").mockImplementation(() => {});
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
    const receiver = receiverWith({ claims: { ...memoryClaims(), latest: never }, detectStale: true });
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
    const { latest, advance, ...store } = memoryClaims();
    expect(() => receiverWith({ detectStale: true, claims: store })).toThrow(/latest and advance/);
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
  ])("%s throws and says so", (_, options, message) => {
    expect(() => receiverWith(options)).toThrow(message);
  });
});
