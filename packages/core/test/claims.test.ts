import { describe, expect, test } from "vitest";
import { memoryClaims } from "../src/claims.js";
import { testClock } from "../src/testing.js";

describe("memoryClaims", () => {
  const clock = testClock(0);

  test("one owner wins, others are told it is busy, and after settling all are told it is done", () => {
    const claims = memoryClaims({ clock });
    expect(claims.claim("k", "a", 1000)).toBe("won");
    expect(claims.claim("k", "b", 1000)).toBe("busy");
    expect(claims.settle("k", "a", 1000)).toBe(true);
    expect(claims.claim("k", "a", 1000)).toBe("done");
    expect(claims.claim("k", "b", 1000)).toBe("done");
  });

  test("a released claim can be won again", () => {
    const claims = memoryClaims({ clock });
    claims.claim("k", "a", 1000);
    claims.release("k", "a");
    expect(claims.claim("k", "b", 1000)).toBe("won");
  });

  test("a claim is free again when its lease is over, and its late owner can neither settle nor release it", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    claims.claim("k", "a", 1000);
    clock.advance(999);
    expect(claims.claim("k", "b", 1000)).toBe("busy");
    clock.advance(1);
    expect(claims.claim("k", "b", 1000)).toBe("won");
    expect(claims.settle("k", "a", 1000)).toBe(false);
    claims.release("k", "a");
    expect(claims.claim("k", "c", 1000)).toBe("busy");
    expect(claims.settle("k", "b", 1000)).toBe(true);
  });

  test("an owner whose lease is over, with nobody else there, can still settle", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    claims.claim("k", "a", 1000);
    clock.advance(5000);
    expect(claims.settle("k", "a", 1000)).toBe(true);
  });

  test("what is done is forgotten after its time to live", () => {
    clock.set(0);
    const claims = memoryClaims({ clock });
    claims.claim("k", "a", 1000);
    claims.settle("k", "a", 5000);
    clock.advance(4999);
    expect(claims.claim("k", "b", 1000)).toBe("done");
    clock.advance(1);
    expect(claims.claim("k", "b", 1000)).toBe("won");
  });

  test("settling or releasing what was never claimed does nothing", () => {
    const claims = memoryClaims({ clock });
    expect(claims.settle("k", "a", 1000)).toBe(false);
    claims.release("k", "a");
    expect(claims.claim("k", "a", 1000)).toBe("won");
  });

  test("of what is done at least max are remembered, at most twice as many; what is held never goes", () => {
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

  test.each(["constructor", "__proto__", ""])("%j is a key like any other", (key) => {
    const claims = memoryClaims({ clock });
    expect(claims.claim(key, "a", 1000)).toBe("won");
    expect(claims.settle(key, "a", 1000)).toBe(true);
    expect(claims.claim(key, "a", 1000)).toBe("done");
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("a max of %d throws", (max) => {
    expect(() => memoryClaims({ max })).toThrow(/max must be a positive whole number/);
  });
});
