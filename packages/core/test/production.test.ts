import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { ReceivedEvent } from "../src/event.js";
import type { ListenerContext } from "../src/listeners/registry.js";
import type { Instrumentation } from "../src/observing/observe.js";
import type { DeliveryRecord } from "../src/observing/trace.js";
import type { ReceiverOptions } from "../src/options.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import type { Reply } from "../src/reply.js";
import { signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";
const NOW = 1_581_682_978_000;
const NOTHING = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

const receiverWith = (options: ReceiverOptions = {}) =>
  createReceiver(toloka, { secret: SECRET, clock: () => NOW, ...options });
const signed = (...events: object[]) => signToloka({ secret: SECRET, timestamp: NOW, events });
const closed = (uuid: string) => tolokaEvent("POOL_CLOSED", { uuid });
const contentOf = (reply: Reply) => JSON.parse(reply.body);
const never = () => new Promise<never>(() => {});

/** Resolves or rejects when asked to, so that a test decides when a listener is done. */
function deferred() {
  let open: (value?: unknown) => void = () => {};
  let fail: (reason: unknown) => void = () => {};
  const passed = new Promise((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { passed, open, fail };
}

const unhandled = vi.fn();

beforeEach(() => {
  vi.restoreAllMocks();
  vi.useFakeTimers({ now: NOW });
  unhandled.mockReset();
  process.on("unhandledRejection", unhandled);
});
afterEach(async () => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  // Node looks for rejections that nobody has handled when all microtasks have run.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

describe("timeout", () => {
  /** A receiver with a limit of five seconds, and what its onError heard. */
  function limited(options: ReceiverOptions = {}) {
    const receiver = receiverWith({ timeout: 5, ...options });
    const heard: [unknown, string][] = [];
    receiver.onError((error, event) => heard.push([error, event.id]));
    return { receiver, heard };
  }

  test("a listener that hangs fails its event at the limit; its siblings and the other events are handled", async () => {
    const { receiver, heard } = limited();
    const sibling = vi.fn();
    let signal: AbortSignal | undefined;
    receiver.on("POOL_CLOSED", (_, context) => {
      signal = context.signal;
      return never();
    });
    receiver.on("POOL_CLOSED", sibling);
    const other = vi.fn();
    receiver.on("TEST_EVENT", other);
    const reply = receiver.handle(signed(closed("hangs"), tolokaEvent("TEST_EVENT")));
    await vi.advanceTimersByTimeAsync(4_999);
    expect([signal?.aborted, heard.length, other.mock.calls.length]).toEqual([false, 0, 0]);
    await vi.advanceTimersByTimeAsync(1);
    expect((await reply).status).toBe(500);
    expect(contentOf(await reply)).toMatchObject({
      ...NOTHING,
      code: "EVENT_FAILED",
      handled: 1,
      failed: 1,
    });
    expect([sibling.mock.calls.length, other.mock.calls.length]).toEqual([1, 1]);
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toMatchObject({
      name: "TimeoutError",
      message: expect.stringMatching(/hangs.*POOL_CLOSED.*5 seconds/),
    });
    expect(heard).toEqual([[signal?.reason, "hangs"]]);
  });

  test("the claim is given back before the answer, so that a redelivery is handled", async () => {
    const store = memoryClaims();
    const released: string[] = [];
    const claims = {
      ...store,
      release(key: string, owner: string) {
        released.push(key);
        store.release(key, owner);
      },
    };
    const { receiver } = limited({ claims });
    const listener = vi.fn<() => unknown>().mockReturnValueOnce(never());
    receiver.on("POOL_CLOSED", listener);
    const delivery = signed(closed("hangs"));
    const reply = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(5_000);
    expect((await reply).status).toBe(500);
    expect(released).toEqual(["toloka:hangs"]);
    expect(contentOf(await receiver.handle(delivery))).toMatchObject({ handled: 1 });
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("a failure after the limit reaches onError once, beside the limit's", async () => {
    const { receiver, heard } = limited();
    const { passed, fail } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const reply = receiver.handle(signed(closed("late")));
    await vi.advanceTimersByTimeAsync(5_000);
    await reply;
    const error = new Error("too late");
    fail(error);
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toEqual([
      [expect.objectContaining({ name: "TimeoutError" }), "late"],
      [error, "late"],
    ]);
  });

  test("a success after the limit reaches onError as an error that names the event", async () => {
    const { receiver, heard } = limited();
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const reply = receiver.handle(signed(closed("late")));
    await vi.advanceTimersByTimeAsync(5_000);
    await reply;
    open();
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toHaveLength(2);
    expect(heard[1]).toEqual([expect.any(Error), "late"]);
    const message = expect.stringMatching(/late.*POOL_CLOSED.*may run again/);
    expect(heard[1]?.[0]).toMatchObject({ message });
  });

  test("what is late without an onError listener is lost without a crash", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ timeout: 5 });
    const { passed, fail } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const reply = receiver.handle(signed(closed("late")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect((await reply).status).toBe(500);
    fail(new Error("hunter2"));
    await vi.advanceTimersByTimeAsync(0);
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test.each<[string, (signal: AbortSignal) => unknown]>([
    ["with the signal's reason", (signal) => signal.reason],
    ["with an error that it caused", (signal) => new Error("aborted", { cause: signal.reason })],
  ])("a listener that gives up at the limit, and rejects %s, is not told of twice", async (_, errorOf) => {
    const { receiver, heard } = limited();
    receiver.on(
      "POOL_CLOSED",
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(errorOf(signal)));
        }),
    );
    const reply = receiver.handle(signed(closed("polite")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(contentOf(await reply)).toMatchObject({ failed: 1 });
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toEqual([[expect.objectContaining({ name: "TimeoutError" }), "polite"]]);
  });

  test("of several listeners one has failed, one hangs: onError hears of both, and of no more", async () => {
    const { receiver, heard } = limited();
    const error = new Error("broken");
    const thrown = new Error("thrown");
    receiver.on("POOL_CLOSED", never);
    receiver.on("POOL_CLOSED", () => Promise.reject(error));
    receiver.on("POOL_CLOSED", () => {
      throw thrown;
    });
    receiver.on("POOL_CLOSED", () => Promise.resolve());
    const reply = receiver.handle(signed(closed("both")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(contentOf(await reply)).toMatchObject({ failed: 1 });
    expect(heard.map(([error]) => error)).toEqual([
      thrown,
      error,
      expect.objectContaining({ name: "TimeoutError" }),
    ]);
  });

  test("an onError listener that hangs holds up an event no longer than its limit once more", async () => {
    const receiver = receiverWith({ timeout: 5 });
    receiver.on("POOL_CLOSED", () => Promise.reject(new Error("broken")));
    let told = () => {};
    receiver.onError((_, { id }) =>
      id === "hangs" ? never() : new Promise<void>((resolve) => (told = resolve)),
    );
    const hanging = receiver.handle(signed(closed("hangs")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(contentOf(await hanging)).toMatchObject({ failed: 1 });
    const other = receiver.handle(signed(closed("told")));
    await vi.advanceTimersByTimeAsync(0);
    told();
    expect(contentOf(await other)).toMatchObject({ failed: 1 });
  });

  test.each([true, false])(
    "the sender's hanging up still aborts the signal (before it is asked for: %s)",
    async (before) => {
      const { receiver } = limited();
      const hangUp = new AbortController();
      const gone = new Error("gone");
      if (before) hangUp.abort(gone);
      const { passed, open } = deferred();
      let signal: AbortSignal | undefined;
      receiver.on("POOL_CLOSED", (_, context) => {
        signal = context.signal;
        return passed;
      });
      const reply = receiver.handle({ ...signed(closed("x")), signal: hangUp.signal });
      await vi.advanceTimersByTimeAsync(0);
      expect(signal?.aborted).toBe(before);
      hangUp.abort(gone);
      expect([signal?.aborted, signal?.reason]).toEqual([true, gone]);
      open();
      expect((await reply).status).toBe(200);
    },
  );

  test("each event has a limit, and a signal, of its own", async () => {
    const { receiver } = limited();
    const signals: AbortSignal[] = [];
    receiver.onAny(({ id }, { signal }) => {
      signals.push(signal);
      return id === "hangs" ? never() : undefined;
    });
    const reply = receiver.handle(signed(closed("hangs"), closed("next")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(contentOf(await reply)).toMatchObject({ handled: 1, failed: 1 });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  });

  test("listeners that are done in time leave no timer, whether they wait, fail or return at once", async () => {
    const { receiver, heard } = limited();
    receiver.on("POOL_CLOSED", () => 1);
    receiver.on("TEST_EVENT", () => Promise.resolve());
    receiver.on("ASSIGNMENT_CREATED", () => Promise.reject(new Error("broken")));
    const types = ["POOL_CLOSED", "TEST_EVENT", "ASSIGNMENT_CREATED"] as const;
    const reply = await receiver.handle(signed(...types.map((type) => tolokaEvent(type))));
    expect(contentOf(reply)).toMatchObject({ handled: 2, failed: 1 });
    expect(heard).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("bounds an event that a sink kept, too: emit rejects with what passed the limit", async () => {
    const { receiver, heard } = limited({ sink: { accept() {} } });
    const worker = new AbortController();
    let signal: AbortSignal | undefined;
    receiver.onAny((_, context) => {
      signal = context.signal;
      return never();
    });
    const event: ReceivedEvent = {
      provider: "toloka",
      type: "POOL_CLOSED",
      id: "kept",
      occurredAt: new Date(NOW),
      data: closed("kept"),
    };
    const emitted = expect(
      receiver.dispatch(event as never, { signal: worker.signal }),
    ).rejects.toMatchObject({
      name: "TimeoutError",
    });
    await vi.advanceTimersByTimeAsync(5_000);
    await emitted;
    expect(signal?.aborted).toBe(true);
    expect(worker.signal.aborted).toBe(false);
    expect(heard).toHaveLength(1);
  });

  test("a signal that outlives the events, such as a worker's, keeps nothing of them", async () => {
    const { receiver } = limited();
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    receiver.onAny(async (_, context) => void context.signal.aborted);
    const event: ReceivedEvent = {
      provider: "toloka",
      type: "POOL_CLOSED",
      id: "kept",
      occurredAt: new Date(NOW),
      data: closed("kept"),
    };
    for (let i = 0; i < 10; i++) await receiver.dispatch(event as never, { signal });
    for (let i = 0; i < 10; i++) await receiver.handle({ ...signed(closed(`${i}`)), signal });
    expect(added).toHaveBeenCalled();
    expect(removed.mock.calls).toEqual(added.mock.calls.map(([type, listener]) => [type, listener]));
  });

  test("a listener that looks at the signal over and over gets the same one, made once", async () => {
    const { receiver } = limited();
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    receiver.on("POOL_CLOSED", (_, context) => {
      for (let i = 0; i < 100; i++) expect(context.signal.aborted).toBe(false);
    });
    const reply = await receiver.handle({ ...signed(closed("x")), signal });
    expect(reply.status).toBe(200);
    expect(added.mock.calls.length).toBeLessThanOrEqual(1);
  });
});

describe("a store whose answers are late", () => {
  test("costs STORE_UNAVAILABLE once three seconds are over, whatever it answers then", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    for (const method of ["claim", "settle"] as const) {
      for (const end of ["open", "fail"] as const) {
        const late = deferred();
        const claims = { ...memoryClaims(), [method]: () => late.passed };
        const reply = receiverWith({ claims }).handle(signed(closed("x")));
        await vi.advanceTimersByTimeAsync(3_000);
        expect(contentOf(await reply)).toMatchObject({
          code: "STORE_UNAVAILABLE",
          handled: method === "claim" ? 0 : 1,
        });
        late[end](new Error("late"));
        await vi.advanceTimersByTimeAsync(0);
      }
    }
  });
});

describe("maxInFlight", () => {
  test("what comes beyond it gets 503 at once, its body unread, and is handled when it comes again", async () => {
    const receiver = receiverWith({ maxInFlight: 2 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = [receiver.handle(signed(closed("1"))), receiver.handle(signed(closed("2")))];
    const read = vi.fn();
    const refused = await receiver.handle({ ...signed(closed("3")), body: read });
    expect([refused.status, refused.headers["retry-after"], contentOf(refused)]).toEqual([
      503,
      "5",
      { code: "OVERLOADED", message: expect.any(String) },
    ]);
    expect(read).not.toHaveBeenCalled();
    open();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
    expect(contentOf(await receiver.handle(signed(closed("3"))))).toMatchObject({ handled: 1 });
  });

  test("a delivery whose body is still to come is in flight; one that is refused is not", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ maxInFlight: 1 });
    for (let i = 0; i < 10; i++) {
      expect((await receiver.handle({ method: "GET", headers: {}, body: "" })).status).toBe(405);
      expect((await receiver.handle({ method: "POST", headers: {}, body: "x" })).status).toBe(401);
    }
    const { passed, open } = deferred();
    const { body, ...head } = signed(closed("slow"));
    const slow = receiver.handle({ ...head, body: async () => passed.then(() => body) });
    expect(contentOf(await receiver.handle(signed(closed("x")))).code).toBe("OVERLOADED");
    open();
    expect((await slow).status).toBe(200);
    expect((await receiver.handle(signed(closed("x")))).status).toBe(200);
  });

  test("a receiver that is closing says so, however much it has in flight, and resolves with the last reply", async () => {
    const receiver = receiverWith({ maxInFlight: 1 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    expect(contentOf(await receiver.handle(signed())).code).toBe("OVERLOADED");
    const ended = receiver.close();
    expect(contentOf(await receiver.handle(signed())).code).toBe("SHUTTING_DOWN");
    open();
    await ended;
    expect((await running).status).toBe(200);
  });
});

describe("observe", () => {
  /** As long as things take here: what is measured is told by what moves this clock. */
  let now: number;
  beforeEach(() => {
    now = 1_000;
    vi.spyOn(performance, "now").mockImplementation(() => now);
  });

  function observed(options: ReceiverOptions = {}) {
    const records: DeliveryRecord[] = [];
    const receiver = receiverWith({ observe: (record) => records.push(record), ...options });
    receiver.onError(() => {});
    return { receiver, records };
  }

  const NO_TIME = { verify: 0, handle: 0, total: 0 };

  test("a success: counts, events, size and durations, and neither code nor reason", async () => {
    const { receiver, records } = observed({
      secret: async () => {
        now += 20;
        return SECRET;
      },
    });
    receiver.onAny(() => {
      now += 300;
    });
    const { body, ...head } = signed(closed("a"), { ...closed("b"), type: "NEW" });
    const read = () => {
      now += 4_000;
      return body;
    };
    await receiver.handle({ ...head, body: read });
    expect(records).toEqual([
      {
        provider: "toloka",
        status: 200,
        code: undefined,
        reason: undefined,
        counts: { ...NOTHING, handled: 1, unrecognized: 1 },
        events: [
          { id: "a", type: "POOL_CLOSED", outcome: "handled" },
          { id: "b", type: "NEW", outcome: "unrecognized" },
        ],
        bytes: body.length,
        durations: { verify: 20, handle: 600, total: 4_620 },
      },
    ]);
  });

  test("a duplicate, a failure and an event that is held elsewhere, in the order of the delivery", async () => {
    const claims = memoryClaims();
    claims.claim("toloka:held", "another process", 60_000);
    const { receiver, records } = observed({ claims, concurrency: 16 });
    receiver.onAny(({ id }) => id === "broken" && Promise.reject(new Error("hunter2")));
    await receiver.handle(signed(closed("done")));
    const delivery = signed(closed("held"), closed("done"), closed("broken"), closed("new"));
    await receiver.handle(delivery);
    expect(records[1]).toEqual({
      provider: "toloka",
      status: 500,
      code: "EVENT_FAILED",
      reason: expect.any(String),
      counts: { handled: 1, duplicate: 1, failed: 1, busy: 1, unrecognized: 0 },
      events: ["held busy", "done duplicate", "broken failed", "new handled"].map((text) => {
        const [id, outcome] = text.split(" ");
        return { id, type: "POOL_CLOSED", outcome };
      }),
      bytes: delivery.body.length,
      durations: NO_TIME,
    });
  });

  test("a store that fails before or after, and a sink that fails, are told apart from each other", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = () => {
      throw new Error("hunter2");
    };
    for (const [options, code, outcome] of [
      [{ claims: { ...memoryClaims(), claim: broken } }, "STORE_UNAVAILABLE", "claim_failed"],
      [{ claims: { ...memoryClaims(), settle: broken } }, "STORE_UNAVAILABLE", "settle_failed"],
      [{ sink: { accept: broken } }, "SINK_UNAVAILABLE", "sink_failed"],
    ] as const) {
      const { receiver, records } = observed(options);
      await receiver.handle(signed(closed("x")));
      expect(records).toMatchObject([{ status: 503, code, events: [{ id: "x", outcome }] }]);
    }
  });

  test.each<
    [string, number, string, Parameters<ReturnType<typeof receiverWith>["handle"]>[0], number | undefined]
  >([
    ["without a signature", 401, "SIGNATURE_MISSING", { method: "POST", headers: {}, body: "{}" }, 2],
    ["with another secret", 401, "SIGNATURE_MISMATCH", signToloka({ secret: "?", timestamp: NOW }), 13],
    [
      "signed long ago",
      401,
      "TIMESTAMP_OUT_OF_TOLERANCE",
      signToloka({ secret: SECRET, timestamp: NOW - 400_000 }),
      13,
    ],
    ["that is too large", 413, "BODY_TOO_LARGE", { method: "POST", headers: {}, body: "x".repeat(999) }, 999],
    [
      "that is too large to be read",
      413,
      "BODY_TOO_LARGE",
      { method: "POST", headers: {}, body: () => ({ code: "BODY_TOO_LARGE" }) },
      undefined,
    ],
    ["that is no POST", 405, "METHOD_NOT_ALLOWED", { method: "GET", headers: {}, body: "" }, undefined],
    [
      "that is no JSON",
      400,
      "BODY_NOT_JSON",
      signToloka({ secret: SECRET, timestamp: NOW, body: "hunter2" }),
      7,
    ],
    ["that cannot be processed", 500, "INTERNAL_ERROR", undefined as never, undefined],
  ])(
    "a delivery %s: %i %s, its reason, no events, and its size if it was read",
    async (_, status, code, delivery, bytes) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const { receiver, records } = observed({ maxBodySize: 500 });
      const sent = delivery ?? Object.defineProperty(signed(), "headers", { get: () => undefined });
      const reply = await receiver.handle(sent);
      expect(reply.status).toBe(status);
      expect(records).toEqual([
        {
          provider: "toloka",
          status,
          code,
          reason: expect.stringMatching(/^[A-Za-z].*\.|\?$/),
          counts: NOTHING,
          events: [],
          bytes,
          durations: NO_TIME,
        },
      ]);
      expect(JSON.stringify(records) + log.mock.calls.join()).not.toMatch(/hunter2|12345/);
      if (status === 500) expect(log.mock.calls.join()).toMatch(/INTERNAL_ERROR: TypeError/);
    },
  );

  test("what is refused for being too much, or while closing, is observed like anything else", async () => {
    const { receiver, records } = observed({ maxInFlight: 1 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    await receiver.handle(signed(closed("y")));
    const ended = receiver.close();
    await receiver.handle(signed(closed("z")));
    const refused = { provider: "toloka", status: 503, counts: NOTHING, events: [], bytes: undefined };
    expect(records).toEqual([
      { ...refused, code: "OVERLOADED", reason: expect.any(String), durations: NO_TIME },
      { ...refused, code: "SHUTTING_DOWN", reason: expect.any(String), durations: NO_TIME },
    ]);
    open();
    await Promise.all([running, ended]);
    expect(records).toHaveLength(3);
  });

  test("close resolves when the last delivery has been observed, so that its record can still be sent off", async () => {
    const { receiver, records } = observed();
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    const observedBy = receiver.close().then(() => records.length);
    open();
    expect(await observedBy).toBe(1);
    await running;
  });

  test("the record is there before the reply", async () => {
    const order: string[] = [];
    const receiver = receiverWith({ observe: () => order.push("record") });
    await receiver.handle(signed(closed("x"))).then(() => order.push("reply"));
    expect(order).toEqual(["record", "reply"]);
  });

  test.each<[string, (record: DeliveryRecord) => unknown, boolean]>([
    [
      "throws",
      () => {
        throw new Error("hunter2");
      },
      true,
    ],
    ["rejects", () => Promise.reject(new Error("hunter2")), true],
    ["never ends", never, false],
    [
      "changes the record",
      (record) => {
        const changed = record as unknown as Record<string, unknown>;
        for (const key of Object.keys(record)) changed[key] = "changed";
      },
      false,
    ],
    [
      "empties what is in the record",
      ({ counts, events }) => {
        (events as unknown[]).length = 0;
        Object.assign(counts, { handled: 99 });
      },
      false,
    ],
    [
      "throws what cannot even be named",
      () => {
        throw Object.defineProperty(new Error(), "name", {
          get() {
            throw new Error("hunter2");
          },
        });
      },
      true,
    ],
  ])("an observer that %s changes no reply and no event", async (_, observe, logged) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const watched = receiverWith({ observe });
    const plain = receiverWith();
    const delivery = signed(closed("x"), closed("y"));
    const heard = vi.fn();
    watched.onAny(heard);
    expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
    expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toHaveBeenCalledTimes(2);
    expect(log).toHaveBeenCalledTimes(logged ? 1 : 0);
    if (logged) expect(log.mock.calls.join()).toMatch(/^crowdhook: toloka: observe: /);
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test("holds no payload, no secret, no signature and no listener's message, whatever comes", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { receiver, records } = observed({ timeout: 1, concurrency: 4 });
    receiver.onUnrecognized(() => {});
    receiver.onAny(({ id }) => id === "fails" && Promise.reject(new Error("hunter2")));
    const payload = { close_reason: "payload", project_id: "payload" };
    const delivery = signed(
      tolokaEvent("POOL_CLOSED", { uuid: "fails", ...payload }),
      { ...tolokaEvent("POOL_CLOSED", { uuid: "new", ...payload }), type: "NEW" },
      tolokaEvent("POOL_CLOSED", { uuid: "misfit", close_reason: ["payload"] }),
    );
    await receiver.handle(delivery);
    await receiver.handle({ ...delivery, body: `${delivery.body} ` });
    await receiver.handle(signToloka({ secret: "payload", timestamp: NOW, events: [payload] }));
    expect(records).toHaveLength(3);
    const [, sign = "?"] = /sign=(\w+)/.exec(delivery.headers["toloka-signature"] ?? "") ?? [];
    const told = JSON.stringify(records) + log.mock.calls.join();
    for (const secret of ["payload", "hunter2", SECRET, sign, String(NOW)])
      expect(told).not.toContain(secret);
  });
});

describe("the channel crowdhook:delivery", () => {
  const deliveries = channel("crowdhook:delivery");

  test("gets the record that the observer gets, with or without one", async () => {
    const published: unknown[] = [];
    const heard: unknown[] = [];
    const subscriber = (message: unknown) => void published.push(message);
    deliveries.subscribe(subscriber);
    try {
      await receiverWith({ observe: (record) => heard.push(record) }).handle(signed(closed("x")));
      await receiverWith().handle(signed(closed("y")));
    } finally {
      deliveries.unsubscribe(subscriber);
    }
    expect(heard).toHaveLength(1);
    expect(published[0]).toBe(heard[0]);
    expect(published[1]).toMatchObject({ status: 200, events: [{ id: "y", outcome: "handled" }] });
  });

  test("is left alone while nobody subscribes: nothing is published, and no time is measured", async () => {
    const publish = vi.spyOn(deliveries, "publish");
    await receiverWith({ observe() {} }).handle(signed(closed("x")));
    const measured = vi.spyOn(performance, "now");
    await receiverWith().handle(signed());
    expect(publish).not.toHaveBeenCalled();
    expect(measured).not.toHaveBeenCalled();
  });
});

describe("instrumentation", () => {
  type Around = (run: () => Promise<unknown>) => unknown;
  const both = (around: Around): Instrumentation => ({
    delivery: (_, run) => around(run),
    event: (_, run) => around(run),
  });
  const broken = () => {
    throw new Error("hunter2");
  };

  test.each<[string, Around]>([
    ["only runs", (run) => run()],
    ["throws before it runs", broken],
    ["throws after it ran", (run) => [run(), broken()]],
    ["rejects before it runs", () => Promise.reject(new Error("hunter2"))],
    ["rejects after it ran", (run) => run().then(broken)],
    ["never runs", () => {}],
    ["runs twice", (run) => [run(), run()]],
    ["runs late", (run) => void setTimeout(run, 1_000)],
    ["never ends", (run) => run().then(never)],
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
    ["has a then that throws", (run) => [run(), Object.defineProperty({}, "then", { get: broken })][1]],
    [
      "empties what it is told",
      (run) =>
        run().then((told) => {
          if (Array.isArray(told)) told.length = 0;
          else for (const key of Object.keys(told as object)) delete (told as Record<string, unknown>)[key];
        }),
    ],
    [
      "adds to what it is told",
      (run) =>
        run().then((told) => {
          if (Array.isArray(told)) told.push(new Error("hunter2"));
        }),
    ],
  ])("that %s changes no reply, and every listener runs once", async (_, around) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const options of [{}, { concurrency: 16 }, { timeout: 5 }]) {
      const watched = receiverWith({ ...options, instrumentation: both(around) });
      const plain = receiverWith(options);
      const heard: string[] = [];
      for (const receiver of [watched, plain]) {
        receiver.onError(() => {});
        receiver.onAny(({ id }) => {
          if (receiver === watched) heard.push(id);
          if (id === "fails") throw new Error("broken");
        });
      }
      for (const delivery of [
        signed(closed("x"), closed("y")),
        signed(closed("fails"), closed("z"), closed("x")),
        { method: "GET", headers: {}, body: "" },
      ]) {
        expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
      }
      await vi.advanceTimersByTimeAsync(1_000);
      expect(heard).toEqual(["x", "y", "fails", "z"]);
      expect(log.mock.calls.join()).not.toContain("hunter2");
    }
  });

  test("that throws is named in the log, whether it runs around deliveries or around events", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const runs: Around = (run) => run();
    for (const [delivery, event] of [
      [broken, runs],
      [runs, broken],
    ] as const) {
      log.mockClear();
      const receiver = receiverWith({
        instrumentation: { delivery: (_, run) => delivery(run), event: (_, run) => event(run) },
      });
      receiver.onAny(() => {});
      await receiver.handle(signed(closed("x")));
      expect(log).toHaveBeenCalledOnce();
      expect(log.mock.calls.join()).toMatch(/^crowdhook: toloka: instrumentation: /);
    }
  });

  test("is inside of what is run: it sees deliveries around their events, and what became of them", async () => {
    const log: unknown[] = [];
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const inside = new AsyncLocalStorage<string>();
    const receiver = receiverWith({
      instrumentation: {
        delivery: ({ provider, headers }, run) =>
          inside.run("delivery", async () => {
            log.push([provider, headers.get("Toloka-Signature")]);
            log.push((await run()).counts);
          }),
        event: (event, run) =>
          inside.run(`${inside.getStore()} > ${event.id}`, async () => {
            log.push(await run());
          }),
      },
    });
    const error = new Error("broken");
    receiver.onError(() => {});
    receiver.onAny(({ id }) => {
      log.push(inside.getStore());
      if (id === "b") throw error;
    });
    const delivery = signed(closed("a"), closed("b"));
    await receiver.handle(delivery);
    expect(log).toEqual([
      ["toloka", delivery.headers["toloka-signature"]],
      "delivery > a",
      [],
      "delivery > b",
      [error],
      { ...NOTHING, handled: 1, failed: 1 },
    ]);
  });

  test("runs around an event that a sink kept, and is told its failures", async () => {
    const told: unknown[] = [];
    const receiver = receiverWith({
      instrumentation: {
        delivery: (_, run) => run(),
        event: (_, run) => run().then((failures) => told.push(...failures)),
      },
    });
    const error = new Error("broken");
    receiver.onError(() => {});
    receiver.onAny(() => Promise.reject(error));
    const context = { signal: new AbortController().signal } satisfies Partial<ListenerContext>;
    const event = { provider: "toloka", type: "NEW", id: "x", occurredAt: undefined, data: {}, problems: [] };
    await expect(receiver.dispatch(event, context)).rejects.toBe(error);
    expect(told).toEqual([error]);
  });
});

describe("construction", () => {
  test.each<[string, object, RegExp]>([
    ["no room at all", { maxInFlight: 0 }, /maxInFlight must be a positive whole number, not 0/],
    ["room without bound", { maxInFlight: Number.POSITIVE_INFINITY }, /maxInFlight .* not Infinity/],
    ["half an event at once", { concurrency: 0.5 }, /concurrency must be a positive whole number, not 0.5/],
    ["a number in words", { concurrency: "16" }, /concurrency must be a positive whole number, not "16"/],
    ["no time", { timeout: 0 }, /timeout must be a number of seconds, above 0/],
    ["no number", { timeout: Number.NaN }, /timeout .* not NaN/],
    ["milliseconds for seconds", { timeout: 30_000 }, /at most 3600, not 30000.*behind a sink/],
    [
      "a key that is no function",
      { orderingKey: "assignment_id" },
      /orderingKey must be a function that returns/,
    ],
    ["an observer that is none", { observe: {} }, /observe must be a function that takes the record/],
    ["an instrumentation without events", { instrumentation: { delivery() {} } }, /method event/],
    ["an order behind a sink", { sink: { accept() {} }, concurrency: 2 }, /concurrency is for listeners/],
    ["keys behind a sink", { sink: { accept() {} }, orderingKey: () => "x" }, /orderingKey is for listeners/],
  ])("%s throws and says so", (_, options, message) => {
    expect(() => receiverWith(options)).toThrow(message);
  });
});
