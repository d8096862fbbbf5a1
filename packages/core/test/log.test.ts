import { beforeEach, describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { NOW, receiverWith, signed } from "./deliveries.js";

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

  test("the log names a failed event without its error when no onError listener is registered", async () => {
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

  test("an event type cannot forge a log line when it holds line breaks and control characters", async () => {
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
});
