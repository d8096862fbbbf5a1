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

  test("putting in anew what is there already takes no room", () => {
    const recent = filled(100, 90);
    for (let i = 0; i < 1000; i++) recent.set("k5", { n: 5 });
    expect(recent.get("k0")).toEqual({ n: 0 });
  });
});
