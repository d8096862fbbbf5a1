import { beforeEach, describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { closed, NOW, receiverWith, signed } from "./deliveries.js";

/** The reply to a delivery whose only event failed. It is the same for every error. */
const FAILED = JSON.stringify({
  code: "EVENT_FAILED",
  message: "An event could not be handled. Retry later.",
  handled: 0,
  ignored: 0,
  duplicate: 0,
  failed: 1,
  busy: 0,
  unrecognized: 0,
});

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("log", () => {
  test("the log repeats a mistake at most once a minute", async () => {
    vi.useFakeTimers({ now: NOW });
    try {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith();
      const gone = {
        method: "POST",
        headers: {},
        body: () => ({ code: "BODY_UNAVAILABLE", hint: "fix it" }) as const,
      };
      for (let i = 0; i < 100; i++) await receiver.handle(gone);
      expect(log).toHaveBeenCalledOnce();
      expect(log.mock.calls.join()).toContain("fix it");
      vi.advanceTimersByTime(60_000);
      await receiver.handle(gone);
      expect(log).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });

  test("the log prints a line a minute after the last one, although the wall clock was set back", async () => {
    vi.useFakeTimers({ now: NOW });
    try {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith();
      const gone = { method: "POST", headers: {}, body: () => ({ code: "BODY_UNAVAILABLE" }) as const };
      await receiver.handle(gone);
      vi.advanceTimersByTime(60_000);
      vi.setSystemTime(NOW - 3_600_000);
      await receiver.handle(gone);
      expect(log).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });

  test("the log prints each kind of a sink's and a store's error, each once a minute", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    let code = "";
    const fail = () => {
      throw Object.assign(new Error("hunter2"), { code });
    };
    const receivers = [
      receiverWith({ sink: { accept: fail } }),
      receiverWith({ claims: { claim: fail, settle: () => true, release() {} } }),
    ];
    for (code of ["ECONNREFUSED", "OOM", "OOM"])
      for (const receiver of receivers) await receiver.handle(signed(closed("x")));
    expect(log.mock.calls.flat()).toEqual(
      ["ECONNREFUSED", "OOM"].flatMap((code) => [
        `crowdhook: toloka: SINK_UNAVAILABLE: the sink failed (Error ${code}). The reply is 503, and the provider retries. [docs/reference/errors.md#sink_unavailable]`,
        `crowdhook: toloka: STORE_UNAVAILABLE: the claim store failed (Error ${code}). [docs/reference/errors.md#store_unavailable]`,
      ]),
    );
  });

  test("the log prints a lost claim as CLAIM_LOST, although the store failed in the same minute", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const settle = vi
      .fn(() => false)
      .mockImplementationOnce(() => {
        throw new Error("hunter2");
      });
    const receiver = receiverWith({ claims: { claim: () => "won", settle, release() {} } });
    receiver.onAny(() => {});
    await receiver.handle(signed(closed("x")));
    await receiver.handle(signed(closed("y")));
    expect(log.mock.calls.flat()).toEqual([
      "crowdhook: toloka: STORE_UNAVAILABLE: the claim store failed (Error). [docs/reference/errors.md#store_unavailable]",
      expect.stringContaining("crowdhook: toloka: CLAIM_LOST: a claim was lost while its event was handled"),
    ]);
  });

  test("a redelivery is handled when the console threw during the first delivery", async () => {
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

  test("the log holds a failed event's error with message and stack when no onError listener is registered", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    const cause = new TypeError("the first cause");
    receiver.onAny(() => Promise.reject(new Error("hunter2", { cause })));
    const reply = await receiver.handle(signed(closed("the event")));
    expect(log).toHaveBeenCalledOnce();
    const line = log.mock.calls.join();
    expect(line).toMatch(
      /^crowdhook: toloka: EVENT_FAILED: event "the event" of type "POOL_CLOSED" failed\./,
    );
    expect(line).toMatch(
      /Register onError .*Error: hunter2 \[docs\/reference\/errors\.md#event_failed\]\n {4,}at .*log\.test/,
    );
    expect(line).toMatch(/\n {4}Caused by: TypeError: the first cause\n {4,}at .*log\.test/);
    expect([reply.status, reply.body]).toEqual([500, FAILED]);
  });

  test("the log holds no failed event when an onError listener is registered", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onAny(() => Promise.reject(new Error("hunter2")));
    const heard = vi.fn();
    receiver.onError(heard);
    const reply = await receiver.handle(signed(closed("another")));
    expect(heard).toHaveBeenCalledOnce();
    expect(log).not.toHaveBeenCalled();
    expect(reply.body).toBe(FAILED);
  });

  test("the log prints each kind of error at most once a minute, and no kind hides another", async () => {
    vi.useFakeTimers({ now: NOW });
    try {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith();
      const errorAt = (message: string) => new Error(message);
      const errorElsewhere = (message: string) => new Error(message);
      let error: unknown;
      receiver.onAny(() => {
        throw error;
      });
      const linesFor = async (...errors: unknown[]) => {
        log.mockClear();
        for (const each of errors) {
          error = each;
          expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).body).toBe(FAILED);
        }
        return log.mock.calls.map(([line]) => /failed\. .*?errors\. (.*) \[docs/.exec(line as string)?.[1]);
      };
      expect(await linesFor(errorAt("1"), errorAt("2"), errorAt("3"))).toEqual(["Error: 1"]);
      // Another place, another name and another code are each another kind.
      expect(await linesFor(errorElsewhere("4"), errorElsewhere("5"))).toEqual(["Error: 4"]);
      const renamed = Object.assign(errorAt("6"), { name: "OtherError" });
      const coded = Object.assign(errorAt("7"), { code: "ECONNREFUSED" });
      expect(await linesFor(renamed, coded)).toHaveLength(2);
      expect(await linesFor(renamed, coded, errorAt("8"), errorElsewhere("9"))).toEqual([]);
      expect(await linesFor("a string", "another string", 7)).toHaveLength(2);
      vi.advanceTimersByTime(60_000);
      expect(await linesFor(errorAt("10"), errorAt("11"))).toEqual(["Error: 10"]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("the log prints two lines when two listeners of one event fail with errors of two kinds", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onAny(() => Promise.reject(new RangeError("one")));
    receiver.onAny(() => Promise.reject(new TypeError("two")));
    expect((await receiver.handle(signed(closed("x")))).body).toBe(FAILED);
    expect(log.mock.calls.map(([line]) => /(\w+Error): /.exec(line as string)?.[1])).toEqual([
      "RangeError",
      "TypeError",
    ]);
  });

  test("a redelivery runs when the logged value throws at every access", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    const hostile = new Proxy(new Error("x"), {
      get() {
        throw new Error("hunter2");
      },
      getPrototypeOf() {
        throw new Error("hunter2");
      },
    });
    const listener = vi.fn<() => void>().mockImplementationOnce(() => {
      throw hostile;
    });
    receiver.onAny(listener);
    expect((await receiver.handle(signed(closed("x")))).body).toBe(FAILED);
    expect(log).toHaveBeenCalledOnce();
    expect((await receiver.handle(signed(closed("x")))).status).toBe(200);
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("an event type cannot forge a log line when it holds line breaks and control characters", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onUnrecognized(() => {
      throw new Error("broken");
    });
    await receiver.handle(
      signed({ ...tolokaEvent("POOL_CLOSED"), type: `X\n2026 FAKE \u001b[2J${"y".repeat(9999)}` }),
    );
    const [line = "", ...stack] = log.mock.calls.join().split("\n");
    expect(line).toMatch(
      /EVENT_FAILED: event ".*" of type "X\\n2026 FAKE .*Error: broken \[docs.*#event_failed\]$/,
    );
    expect(line).not.toContain("\u001b");
    expect(line.length).toBeLessThan(400);
    expect(stack.length).toBeGreaterThan(0);
    for (const continued of stack) expect(continued).toMatch(/^ {4,}at /);
  });

  test("an error's message cannot forge a log line when it quotes a sender's line breaks and control characters", async () => {
    const forged = [..."\n\r\v\f\u0000\u0007\u0008\u001b\u007f\u0085\u009b", "\r\n", "\n\n"];
    const text = forged.map((separator) => `${separator}crowdhook: toloka: FAKE`).join("");
    const named = Object.assign(new Error("x", { cause: text }), { stack: undefined, name: text });
    for (const error of [new Error(text), new Error("x", { cause: new Error(text) }), text, named]) {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith();
      receiver.onAny(() => {
        throw error;
      });
      expect((await receiver.handle(signed(closed("x")))).body).toBe(FAILED);
      expect(log).toHaveBeenCalledOnce();
      const [line = "", ...continued] = log.mock.calls.join().split("\n");
      expect(line).toMatch(/^crowdhook: toloka: EVENT_FAILED: event "x"/);
      expect(continued.join()).toContain("FAKE");
      for (const each of continued) expect(each).toMatch(/^ {4}/);
      expect(line + continued.join("")).not.toMatch(/\p{Cc}/u);
      log.mockRestore();
    }
  });

  test("the log cuts off an error whose message is very long", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    receiver.onAny(() => {
      throw new Error("x".repeat(1_000_000));
    });
    await receiver.handle(signed(closed("x")));
    expect(log.mock.calls.join().length).toBeLessThan(11_000);
  });
});
