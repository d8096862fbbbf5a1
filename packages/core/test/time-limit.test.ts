import { describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { ReceivedEvent } from "../src/event.js";
import type { ReceiverOptions } from "../src/options.js";
import { tolokaEvent } from "../src/testing.js";
import { closed, contentOf, deferred, NOW, never, receiverWith, signed } from "./deliveries.js";
import { virtualTime } from "./virtual-time.js";

virtualTime();

describe("time limit", () => {
  /** Returns a receiver with a timeout of 5 seconds, and the arguments of each call to its onError listener. */
  function limited(options: ReceiverOptions = {}) {
    const receiver = receiverWith({ timeout: 5, ...options });
    const heard: [unknown, string][] = [];
    receiver.onError((error, event) => heard.push([error, event.id]));
    return { receiver, heard };
  }

  test("a hanging listener fails its event at the timeout, and its siblings and the next event still run", async () => {
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
      code: "EVENT_FAILED",
      handled: 1,
      duplicate: 0,
      failed: 1,
      busy: 0,
      unrecognized: 0,
    });
    expect([sibling.mock.calls.length, other.mock.calls.length]).toEqual([1, 1]);
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toMatchObject({
      name: "TimeoutError",
      message: expect.stringMatching(/hangs.*POOL_CLOSED.*5 seconds/),
    });
    expect(heard).toEqual([[signal?.reason, "hangs"]]);
  });

  test("the receiver releases the claim of a timed-out event before it replies, so that a redelivery runs", async () => {
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

  test("onError gets a listener's error once when the listener fails after the timeout", async () => {
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

  test("onError gets an error that names the event when a listener succeeds after the timeout", async () => {
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

  test("the log holds the timeout and the late failure when no onError listener is registered", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ timeout: 5 });
    const { passed, fail } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const reply = receiver.handle(signed(closed("late")));
    await vi.advanceTimersByTimeAsync(5_000);
    expect((await reply).status).toBe(500);
    expect(log).toHaveBeenCalledOnce();
    expect(log.mock.lastCall?.join()).toMatch(/EVENT_FAILED: event "late".*TimeoutError: .*5 seconds/);
    fail(new Error("too late"));
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toHaveBeenCalledTimes(2);
    expect(log.mock.lastCall?.join()).toMatch(
      /EVENT_FAILED: event "late".*Error: too late \[docs.*\]\n {4,}at .*time-limit\.test/,
    );
  });

  test("the log tells of a listener that succeeds after the timeout when no onError listener is registered", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ timeout: 5 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const reply = receiver.handle(signed(closed("late")));
    await vi.advanceTimersByTimeAsync(5_000);
    await reply;
    open();
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toHaveBeenCalledTimes(2);
    expect(log.mock.lastCall?.join()).toMatch(/EVENT_FAILED: event "late".*may run again/);
  });

  test.each<[string, (signal: AbortSignal) => unknown]>([
    ["the signal's reason", (signal) => signal.reason],
    ["an error caused by the signal's reason", (signal) => new Error("aborted", { cause: signal.reason })],
  ])("onError is called once when an aborted listener rejects with %s", async (_, errorOf) => {
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

  test("onError gets each failure once when one listener hangs and others fail", async () => {
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

  test("a hanging onError listener delays the reply by at most one more timeout", async () => {
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
    "the context's signal aborts when the sender hangs up (before a listener reads it: %s)",
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

  test("each event has its own time limit and its own signal", async () => {
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

  test("no timer is left when listeners return, resolve or reject in time", async () => {
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

  test("the context joins the delivery's signal once when a listener reads it many times", async () => {
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

  describe("behind a sink", () => {
    const event: ReceivedEvent = {
      provider: "toloka",
      type: "POOL_CLOSED",
      id: "kept",
      occurredAt: new Date(NOW),
      data: closed("kept"),
    };

    test("dispatch rejects with a TimeoutError when a listener exceeds the timeout", async () => {
      const { receiver, heard } = limited({ sink: { accept() {} } });
      const worker = new AbortController();
      let signal: AbortSignal | undefined;
      receiver.onAny((_, context) => {
        signal = context.signal;
        return never();
      });
      const dispatched = expect(
        receiver.dispatch(event as never, { signal: worker.signal }),
      ).rejects.toMatchObject({
        name: "TimeoutError",
      });
      await vi.advanceTimersByTimeAsync(5_000);
      await dispatched;
      expect(signal?.aborted).toBe(true);
      expect(worker.signal.aborted).toBe(false);
      expect(heard).toHaveLength(1);
    });

    test("a long-lived signal keeps no abort listener of a finished event", async () => {
      const { receiver } = limited();
      const { signal } = new AbortController();
      const added = vi.spyOn(signal, "addEventListener");
      const removed = vi.spyOn(signal, "removeEventListener");
      receiver.onAny(async (_, context) => void context.signal.aborted);
      for (let i = 0; i < 10; i++) await receiver.dispatch(event as never, { signal });
      for (let i = 0; i < 10; i++) await receiver.handle({ ...signed(closed(`${i}`)), signal });
      expect(added).toHaveBeenCalled();
      expect(removed.mock.calls).toEqual(added.mock.calls.map(([type, listener]) => [type, listener]));
    });
  });
});
