import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { signToloka, testClock, tolokaEvent } from "../src/testing.js";
import { NOW, receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("deduplication", () => {
  test("the receiver forgets a handled event one day after its delivery", async () => {
    const clock = testClock(NOW);
    const receiver = receiverWith({ clock });
    receiver.onAny(() => {});
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

  test("the receiver recognizes a duplicate for twice the tolerance when that is longer than a day", async () => {
    const clock = testClock(NOW);
    const day = 24 * 60 * 60;
    const receiver = receiverWith({ clock, tolerance: day });
    receiver.onAny(() => {});
    const event = tolokaEvent("POOL_CLOSED");
    await receiver.handle(signToloka({ secret: SECRET, timestamp: NOW + day * 1000, events: [event] }));
    clock.advance(2 * day * 1000 - 1);
    const replayed = signToloka({ secret: SECRET, timestamp: NOW + day * 1000, events: [event] });
    expect(JSON.parse((await receiver.handle(replayed)).body)).toMatchObject({ duplicate: 1 });
  });

  test("the receiver recognizes a replay while its timestamp is valid, however large the tolerance is", async () => {
    for (const tolerance of [Number.MAX_VALUE, 1e300, 24 * 60 * 60]) {
      const clock = testClock(NOW);
      const receiver = receiverWith({ clock, tolerance });
      receiver.onAny(() => {});
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

  test("an event without an id runs each time it is delivered", async () => {
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
