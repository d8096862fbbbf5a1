import { describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { claimStoreChecks } from "../src/conformance.js";
import { testClock } from "../src/testing.js";

describe("memoryClaims", () => {
  const clock = testClock(0);

  test.each(claimStoreChecks)("$name", async ({ check }) => {
    await check({ store: memoryClaims({ clock }), advance: clock.advance });
  });

  test("memoryClaims forgets a settled key and an occurrence exactly when their time to live ends", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    claims.claim("key", "a", 1000);
    claims.settle("key", "a", 1000);
    claims.recordOccurrence("subject", 7, 1000);
    clock.set(999);
    expect([claims.claim("key", "b", 1000), claims.latestOccurrence("subject")]).toEqual(["done", 7]);
    clock.set(1000);
    expect([claims.claim("key", "b", 1000), claims.latestOccurrence("subject")]).toEqual(["won", undefined]);
    // A forgotten occurrence no longer wins over an earlier one.
    claims.recordOccurrence("subject", 3, 1000);
    expect(claims.latestOccurrence("subject")).toBe(3);
  });

  test("a claim is free exactly when its lease ends", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    claims.claim("key", "a", 1000);
    clock.set(999);
    expect(claims.claim("key", "b", 1000)).toBe("busy");
    clock.set(1000);
    expect(claims.claim("key", "b", 1000)).toBe("won");
  });

  test("memoryClaims remembers the last settled key when max is 1", () => {
    const claims = memoryClaims({ max: 1, clock });
    claims.claim("key", "a", 1000);
    claims.settle("key", "a", 1000);
    expect(claims.claim("key", "b", 1000)).toBe("done");
  });

  test("memoryClaims remembers at least max settled keys, at most twice as many, and every held claim", () => {
    clock.set(0);
    const claims = memoryClaims({ max: 100, clock });
    claims.claim("held", "a", 1_000_000);
    for (let i = 0; i < 1000; i++) {
      claims.claim(`k${i}`, "a", 1000);
      claims.settle(`k${i}`, "a", 1_000_000);
    }
    expect(claims.claim("held", "b", 1000)).toBe("busy");
    const done = Array.from({ length: 1000 }, (_, i) => claims.claim(`k${999 - i}`, "probe", 1000));
    expect(done.slice(0, 100).every((claim) => claim === "done")).toBe(true);
    expect(done.filter((claim) => claim === "done").length).toBeLessThanOrEqual(200);
  });

  test("memoryClaims drops expired claims that were neither settled nor released", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    for (let i = 0; i < 1000; i++) claims.claim(`k${i}`, "a", 1000);
    clock.advance(1000);
    const dropped = vi.spyOn(Map.prototype, "delete");
    claims.claim("next", "a", 1000);
    expect(dropped.mock.calls.filter(([key]) => /^k\d+$/.test(key)).length).toBe(1000);
    dropped.mockRestore();
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    "memoryClaims throws when max is %d",
    (max) => {
      expect(() => memoryClaims({ max })).toThrow(/max must be a positive whole number/);
    },
  );
});
