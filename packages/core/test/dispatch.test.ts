import { beforeEach, describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { deferred, never, receiverWith, signed } from "./deliveries.js";
import { contentsOf, virtualTime } from "./virtual-time.js";

describe("dispatch", () => {
  beforeEach(() => {
    vi.restoreAllMocks();
  });

  test("a duplicate fails with the delivery it waits for, and its redelivery runs again", async () => {
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

  test("deliveries finish and run each event once when they hold the same events in different orders", async () => {
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

  describe("waiting for running events", () => {
    virtualTime();

    test("a duplicate is busy after 30 seconds when the running event has not ended", async () => {
      const receiver = receiverWith();
      const { passed, open } = deferred();
      receiver.on("POOL_CLOSED", () => passed);
      const delivery = signed(tolokaEvent("POOL_CLOSED"));
      const first = receiver.handle(delivery);
      const second = receiver.handle(delivery);
      await vi.advanceTimersByTimeAsync(30_000);
      expect(JSON.parse((await second).body)).toMatchObject({ code: "EVENT_BUSY", busy: 1 });
      open();
      expect((await first).status).toBe(200);
    });

    test("a delivery waits 30 seconds in total when all of its events are already running", async () => {
      const receiver = receiverWith();
      receiver.onAny(never);
      const events = ["a", "b", "c"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
      for (const event of events) void receiver.handle(signed(event));
      await vi.advanceTimersByTimeAsync(0);
      const waiting = receiver.handle(signed(...events));
      await vi.advanceTimersByTimeAsync(30_000);
      expect(await contentsOf(waiting)).toMatchObject([{ code: "EVENT_BUSY", busy: 3 }]);
    });
  });
});
