import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { signToloka, testClock, tolokaEvent } from "../src/testing.js";
import { NOW, receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("detectStale", () => {
  const at = (seconds: number, fields = {}) =>
    signed(
      tolokaEvent("ASSIGNMENT_SUBMITTED", {
        event_time: new Date(NOW + seconds * 1000).toISOString().slice(0, 19),
        ...fields,
      }),
    );

  test("an event is stale when a later event of the same type and subject was handled before it", async () => {
    const receiver = receiverWith({ detectStale: true });
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    for (const seconds of [10, 5, 10, 20]) await receiver.handle(at(seconds));
    await receiver.handle(at(0, { assignment_id: "another" }));
    await receiver.handle(signed(tolokaEvent("ASSIGNMENT_APPROVED", { event_time: "2001-01-01T00:00:00" })));
    expect(stale).toEqual([false, true, false, false, false, false]);
  });

  test("an event is stale when a later event came before it in the same delivery", async () => {
    const receiver = receiverWith({ detectStale: true });
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    const times = ["2020-01-01T00:00:10", "2020-01-01T00:00:00"];
    await receiver.handle(signed(...times.map((event_time) => tolokaEvent("POOL_CLOSED", { event_time }))));
    expect(stale).toEqual([false, true]);
  });

  test.each([
    ["subject", { pool_id: "p".repeat(300) }, {}],
    ["type", {}, { type: "T".repeat(256) }],
  ])(
    "an event is never stale, and the store keeps nothing of it, when its %s is too long",
    async (_, fields, more) => {
      const store = memoryClaims();
      const claims = { ...store, recordOccurrence: vi.fn(store.recordOccurrence) };
      const receiver = receiverWith({ detectStale: true, claims });
      const stale: boolean[] = [];
      receiver.onAny((_, context) => stale.push(context.stale));
      for (const event_time of ["2020-01-01T00:00:10", "2020-01-01T00:00:00"]) {
        const event = { ...tolokaEvent("POOL_CLOSED", { event_time, ...fields }), ...more };
        expect((await receiver.handle(signed(event))).status).toBe(200);
      }
      expect(stale).toEqual([false, false]);
      expect(claims.recordOccurrence).not.toHaveBeenCalled();
    },
  );

  test("the store keeps the occurrence of a subject of up to 255 characters", async () => {
    const store = memoryClaims();
    const claims = { ...store, recordOccurrence: vi.fn(store.recordOccurrence) };
    const receiver = receiverWith({ detectStale: true, claims });
    receiver.onAny(() => {});
    // Toloka's subject is the name of the field, a colon and its value.
    for (const length of [247, 248]) {
      await receiver.handle(signed(tolokaEvent("POOL_CLOSED", { pool_id: "p".repeat(length) })));
    }
    expect(claims.recordOccurrence).toHaveBeenCalledOnce();
  });

  test("an event is not stale when the later event failed", async () => {
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

  test("the receiver records an occurrence for one day, and looks up none when the event has no valid time", async () => {
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
    receiver.onAny(() => {});
    await receiver.handle(at(10, { assignment_id: "a", event_time: "yesterday" }));
    expect([stale, claims.latestOccurrence.mock.calls, log.mock.calls]).toEqual([[false], [], []]);
    await receiver.handle(at(10, { assignment_id: "a" }));
    const key = "toloka/latest:ASSIGNMENT_SUBMITTED:assignment_id:a";
    expect(claims.latestOccurrence.mock.calls).toEqual([[key]]);
    expect(claims.recordOccurrence.mock.calls).toEqual([[key, NOW + 10_000, 24 * 60 * 60 * 1000]]);
  });

  test("the receiver forgets an occurrence after one day of its own clock", async () => {
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

  test("an event is handled and not stale when the store fails to read or record an occurrence", async () => {
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

  test("an event is handled and not stale when the store returns an occurrence that is not a number", async () => {
    const claims = {
      ...memoryClaims({ clock: () => NOW }),
      latestOccurrence: () => Symbol("latest") as never,
    };
    const receiver = receiverWith({ claims, detectStale: true });
    const listener = vi.fn();
    receiver.on("POOL_CLOSED", (_event, { stale }) => listener(stale));
    const delivery = signed(tolokaEvent("POOL_CLOSED"));
    expect((await receiver.handle(delivery)).status).toBe(200);
    expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
    expect(listener).toHaveBeenCalledExactlyOnceWith(false);
  });

  test("no event is stale without detectStale, which throws when the store cannot record occurrences", async () => {
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
