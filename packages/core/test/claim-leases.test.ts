import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { tolokaEvent } from "../src/testing.js";
import { deferred, never, receiverWith, signed } from "./deliveries.js";
import { contentsOf, slowClaims, virtualTime } from "./virtual-time.js";

const LATENCY = 20;

virtualTime();
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

describe("claim leases", () => {
  test("the receiver renews the claim of a running listener, so that no other process wins it", async () => {
    const claims = memoryClaims();
    const one = receiverWith({ claims });
    const two = receiverWith({ claims });
    const { passed, open } = deferred();
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

  test("the receiver renews the claims of waiting and running events, and no others", async () => {
    const store = memoryClaims();
    store.claim("toloka:busy", "another process", 60_000);
    const claim = vi.fn(store.claim);
    // Settling and releasing take so long that a renewal comes in between.
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
    const first = deferred();
    const { passed, open } = deferred();
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

  test.each([
    ["noticed by a renewal", 10_000],
    ["noticed before its listeners run", 0],
  ])("an event does not run when its claim was lost while it waited (%s)", async (_, milliseconds) => {
    const claims = memoryClaims();
    const receiver = receiverWith({ claims });
    const { passed, open } = deferred();
    const heard: string[] = [];
    receiver.onAny((event) => {
      heard.push(event.id);
      return event.id === "first" ? passed : undefined;
    });
    const reply = receiver.handle(
      signed(...["first", "second"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }))),
    );
    await vi.advanceTimersByTimeAsync(0);
    // Simulates a process that paused for longer than the lease.
    vi.setSystemTime(Date.now() + 31_000);
    const paused = performance.now() + 31_000;
    vi.spyOn(performance, "now").mockImplementation(() => paused);
    expect(claims.claim("toloka:second", "another process", 30_000)).toBe("won");
    expect(claims.settle("toloka:second", "another process", 1_000_000)).toBe(true);
    await vi.advanceTimersByTimeAsync(milliseconds);
    open();
    expect(JSON.parse((await reply).body)).toMatchObject({ handled: 1, duplicate: 1 });
    expect(heard).toEqual(["first"]);
  });

  test.each<[string, () => void]>([
    // While a machine is suspended, its monotonic clock stands still, and no timer fires.
    ["the wall clock", () => vi.setSystemTime(Date.now() + 31_000)],
    [
      "the monotonic clock",
      () => {
        const later = performance.now() + 31_000;
        vi.spyOn(performance, "now").mockImplementation(() => later);
      },
    ],
  ])("a waiting event does not run on a lease that is over by %s alone", async (_, pass) => {
    let taken = false;
    const claims: ClaimStore = {
      claim: (key) => (taken && key === "toloka:second" ? "busy" : "won"),
      settle: () => true,
      release() {},
    };
    const receiver = receiverWith({ claims, clock: Date.now });
    const { passed, open } = deferred();
    const heard: string[] = [];
    receiver.onAny((event) => {
      heard.push(event.id);
      return event.id === "first" ? passed : undefined;
    });
    const events = ["first", "second"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
    const reply = receiver.handle(signed(...events));
    await vi.advanceTimersByTimeAsync(0);
    pass();
    taken = true;
    open();
    expect(JSON.parse((await reply).body)).toMatchObject({ handled: 1, busy: 1 });
    expect(heard).toEqual(["first"]);
  });

  test("a redelivery can claim a failed event when a renewal was in flight as the event failed", async () => {
    const store = memoryClaims();
    const slow = slowClaims(() => LATENCY, store);
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
    // The first event fails between the renewals and their answers.
    await vi.advanceTimersByTimeAsync(10_000 + LATENCY / 2);
    fail(new Error("broken"));
    await vi.advanceTimersByTimeAsync(15_000);
    expect(store.claim("toloka:fails", "another process", 1_000)).toBe("won");
    expect(store.claim("toloka:long", "another process", 1_000)).toBe("busy");
    finish();
    expect(await contentsOf(reply)).toMatchObject([{ failed: 1, handled: 1 }]);
  });

  test("the receiver releases a claim and leaves the event to a redelivery when it cannot renew the claim after a pause", async () => {
    const store = memoryClaims();
    const slow = slowClaims(() => LATENCY, store);
    let answering = true;
    const claims: ClaimStore = {
      ...slow,
      claim: (...args) => (answering ? slow.claim(...args) : never()),
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
    expect(await contentsOf(reply)).toMatchObject([{ code: "STORE_UNAVAILABLE", handled: 1 }]);
    expect(heard).not.toHaveBeenCalled();
    expect(store.claim("toloka:x", "another process", 1_000)).toBe("won");
    expect(vi.getTimerCount()).toBe(0);
  });
});
