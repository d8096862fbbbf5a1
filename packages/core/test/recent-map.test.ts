import { describe, expect, test } from "vitest";
import { RecentMap } from "../src/values/recent-map.js";

interface Entry {
  readonly n: number;
}

function filled(max: number, count: number): RecentMap<Entry> {
  const recent = new RecentMap<Entry>(max);
  for (let n = 0; n < count; n++) recent.set(`k${n}`, { n });
  return recent;
}

describe("Recent", () => {
  test.each([1, 2, 3, 10, 99, 100, 101, 201, 202, 250, 1000])(
    "of %d entries keeps those that were put in last: 100 at least, 200 at most",
    (count) => {
      const recent = filled(100, count);
      // From the newest on, because looking one up is using it.
      const kept = Array.from({ length: count }, (_, i) => recent.get(`k${count - 1 - i}`)?.n).filter(
        (n) => n !== undefined,
      );
      expect(kept.slice(0, 100)).toEqual(
        Array.from({ length: Math.min(100, count) }, (_, i) => count - 1 - i),
      );
      expect(kept.length).toBeLessThanOrEqual(200);
    },
  );

  test("what is looked up is used, and outlives what is not", () => {
    const recent = filled(100, 100);
    for (let n = 100; n < 1000; n++) {
      recent.set(`k${n}`, { n });
      expect(recent.get("k7")).toEqual({ n: 7 });
    }
    expect(recent.get("k8")).toBeUndefined();
  });

  test("an entry is dropped after its ttl when others are put in, even if there is room", () => {
    const recent = new RecentMap<number>(100);
    recent.set("first", 1, 1_000, 0);
    recent.set("second", 2, 1_000, 999);
    expect(recent.get("first")).toBe(1);
    recent.set("third", 3, 1_000, 1_000);
    recent.set("fourth", 4, 1_000, 1_001);
    recent.set("fifth", 5, 1_000, 2_001);
    expect(["first", "second", "third", "fourth", "fifth"].map((key) => recent.get(key))).toEqual([
      undefined,
      undefined,
      undefined,
      4,
      5,
    ]);
  });

  test.each([0, 50, 98, 99, 150])(
    "an entry is not dropped before its ttl when %d entries came before it and 99 come after it",
    (before) => {
      const recent = new RecentMap<number>(100);
      for (let n = 0; n < before; n++) recent.set(`before ${n}`, n, 1_000, 0);
      recent.set("entry", 1, 1_000, 999);
      for (let n = 0; n < 99; n++) recent.set(`after ${n}`, n, 1_000, 1_000 + 10 * n);
      expect(recent.get("entry")).toBe(1);
    },
  );

  test("putting in anew what is there already takes no room", () => {
    const recent = filled(100, 90);
    for (let i = 0; i < 1000; i++) recent.set("k5", { n: 5 });
    expect(recent.get("k0")).toEqual({ n: 0 });
  });
});
