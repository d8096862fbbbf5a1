import { describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { tolokaEvent } from "../src/testing.js";
import { closed, contentOf, deferred, never, receiverWith, signed } from "./deliveries.js";
import { contentsOf, virtualTime } from "./virtual-time.js";

virtualTime();

describe("claiming", () => {
  test("the receiver claims by provider name and event id, under one owner for each delivery", async () => {
    const { claim, settle, release } = memoryClaims();
    const claims = { claim: vi.fn(claim), settle: vi.fn(settle), release: vi.fn(release) };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    receiver.onAny(({ id }) => {
      if (id === "b") throw new Error("broken");
    });
    const day = 24 * 60 * 60 * 1000;
    const events = ["a", "b"].map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
    await receiver.handle(signed(...events));
    const owner = claims.claim.mock.lastCall?.[1];
    expect(claims.claim.mock.calls).toEqual([
      ["toloka:a", owner, 30_000],
      ["toloka:b", owner, 30_000],
    ]);
    expect(claims.settle.mock.calls).toEqual([["toloka:a", owner, day]]);
    expect(claims.release.mock.calls).toEqual([["toloka:b", owner]]);
    await receiver.handle(signed(...events));
    const other = receiverWith({ claims });
    other.onAny(() => {});
    await other.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "c" })));
    const owners = new Set(claims.claim.mock.calls.map(([, owner]) => owner));
    expect(owners.size).toBe(3);
  });

  test("a redelivery claims its event again when another process held it or the store failed", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = (): never => {
      throw new Error("broken");
    };
    const claim = vi
      .fn<() => "won" | "busy">(() => "won")
      .mockReturnValueOnce("busy")
      .mockImplementationOnce(broken);
    const receiver = receiverWith({ claims: { claim, settle: () => true, release() {} } });
    receiver.onAny(() => {});
    const contents: unknown[] = [];
    for (let i = 0; i < 3; i++) contents.push(contentOf(await receiver.handle(signed(closed("x")))));
    expect(contents).toMatchObject([
      { code: "EVENT_BUSY" },
      { code: "STORE_UNAVAILABLE" },
      { handled: 1, ignored: 0 },
    ]);
  });

  test("the reply waits until the store has settled the claim and recorded the occurrence", async () => {
    for (const method of ["settle", "recordOccurrence"] as const) {
      const store = memoryClaims();
      const { passed, open } = deferred();
      const claims = { ...store, [method]: () => passed.then(() => true) };
      const receiver = receiverWith({ claims, detectStale: true });
      receiver.onAny(() => {});
      let replied = false;
      const reply = receiver.handle(signed(tolokaEvent("POOL_CLOSED"))).then(() => {
        replied = true;
      });
      await vi.advanceTimersByTimeAsync(1_000);
      expect([method, replied]).toEqual([method, false]);
      open();
      await reply;
    }
  });

  test("the receiver does not release a claim that the store did not grant", async () => {
    const release = vi.fn();
    for (const claim of ["busy", "done"] as const) {
      const receiver = receiverWith({ claims: { claim: () => claim, settle: () => true, release } });
      receiver.onAny(() => {});
      await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    }
    expect(release).not.toHaveBeenCalled();
  });

  test("a late release does not free the claim that a redelivery won", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    const late: (() => void)[] = [];
    const claims = {
      ...store,
      release: (key: string, owner: string) => {
        late.push(() => void store.release(key, owner));
        store.release(key, owner);
        return never();
      },
    };
    const receiver = receiverWith({ claims });
    receiver.onError(() => {});
    const { passed, open } = deferred();
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

  test("the reply is EVENT_FAILED when the release of the claim fails, too", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const release = () => Promise.reject(new Error("broken"));
    const receiver = receiverWith({ claims: { claim: () => "won", settle: () => true, release } });
    receiver.onError(() => {});
    receiver.onAny(() => Promise.reject(new Error("broken")));
    const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_FAILED", failed: 1 });
  });

  test("the log warns when a claim was lost before it was settled", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ claims: { claim: () => "won", settle: () => false, release() {} } });
    receiver.onAny(() => {});
    expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).status).toBe(200);
    expect(log.mock.calls.join()).toContain("a claim was lost");
  });
});

describe("a failing claim store", () => {
  test("the reply is STORE_UNAVAILABLE when the store fails, and the log names the error without its message", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const error = Object.assign(new Error("redis://:hunter2@store"), { code: "ECONNREFUSED" });
    const fails = [
      () => Promise.reject(error),
      () => {
        throw error;
      },
    ];
    for (const [i, fail] of fails.entries()) {
      for (const [failing, handled] of [
        [{ claim: fail }, 0],
        [{ settle: fail }, 1],
      ] as const) {
        const receiver = receiverWith({ claims: { ...memoryClaims(), ...failing } });
        receiver.onAny(() => {});
        const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
        expect([i, reply.status, JSON.parse(reply.body)]).toEqual([
          i,
          503,
          expect.objectContaining({ code: "STORE_UNAVAILABLE", handled }),
        ]);
        expect(log.mock.lastCall?.join()).toMatch(/STORE_UNAVAILABLE.*failed \(Error ECONNREFUSED\)/);
      }
    }
    expect(log).toHaveBeenCalledTimes(4);
    expect(log.mock.calls.join()).not.toContain("hunter2");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("the reply is STORE_UNAVAILABLE after 3 seconds without an answer, and a claim granted later is released", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    let answer: (claim: "won") => void = () => {};
    const release = vi.fn();
    const claim = () =>
      new Promise<"won">((resolve) => {
        answer = resolve;
      });
    const receiver = receiverWith({ claims: { claim, settle: () => true, release } });
    receiver.onAny(() => {});
    const reply = receiver.handle(signed(tolokaEvent("POOL_CLOSED", { uuid: "slow" })));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(JSON.parse((await reply).body)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 0 });
    expect(log.mock.calls.join()).toContain("StoreTimeout");
    expect(release).not.toHaveBeenCalled();
    answer("won");
    await vi.advanceTimersByTimeAsync(0);
    expect(release).toHaveBeenCalledExactlyOnceWith("toloka:slow", expect.any(String));
  });

  test("the reply stays STORE_UNAVAILABLE when the store answers after 3 seconds", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    for (const method of ["claim", "settle"] as const) {
      for (const end of ["open", "fail"] as const) {
        const late = deferred();
        const claims = { ...memoryClaims(), [method]: () => late.passed };
        const receiver = receiverWith({ claims });
        receiver.onAny(() => {});
        const reply = receiver.handle(signed(closed("x")));
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

  test("a delivery of 50 events waits 3 seconds in total when the store stops answering", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({
      claims: { ...memoryClaims(), latestOccurrence: never },
      detectStale: true,
    });
    receiver.onAny(() => {});
    const reply = receiver.handle(signed(...Array.from({ length: 50 }, () => tolokaEvent("POOL_CLOSED"))));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await contentsOf(reply)).toMatchObject([{ handled: 50 }]);
  });
});
