import { afterEach, describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../../test/seeded-random.js";
import { DoneKeys, hashOf } from "../src/claiming/done.js";
import { collidingKeys } from "./colliding-keys.js";

const NEVER = Number.NEGATIVE_INFINITY;

function filled(max: number, count: number): DoneKeys {
  const done = new DoneKeys(max);
  for (let n = 0; n < count; n++) done.set(`k${n}`, n);
  return done;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("DoneKeys", () => {
  test.each([1, 2, 3, 10, 99, 100, 101, 199, 200, 201, 250, 1000])(
    "of %d keys keeps those that were put in last: 100 at least, 200 at most",
    (count) => {
      const done = filled(100, count);
      // From the newest on, because asking for one is using it.
      const untils = Array.from({ length: count }, (_, i) => done.until(`k${count - 1 - i}`));
      const kept = untils.filter((until) => until !== NEVER);
      expect(kept.slice(0, 100)).toEqual(
        Array.from({ length: Math.min(100, count) }, (_, i) => count - 1 - i),
      );
      expect(kept.length).toBeLessThanOrEqual(200);
    },
  );

  test("a max of 1 is room for one key", () => {
    const done = filled(1, 3);
    expect([done.until("k2"), done.until("k1"), done.until("k0")]).toEqual([2, NEVER, NEVER]);
  });

  test("a key that is asked for is used, and outlives those that are not", () => {
    const done = filled(100, 100);
    for (let n = 100; n < 1000; n++) {
      done.set(`k${n}`, n);
      expect(done.until("k7")).toBe(7);
    }
    expect(done.until("k8")).toBe(NEVER);
  });

  test("a key that is put in anew takes no room, and has its time from then", () => {
    const done = filled(100, 90);
    for (let i = 0; i < 1000; i++) done.set("k5", i);
    expect([done.until("k0"), done.until("k5")]).toEqual([0, 999]);
  });

  test("a key that is put in anew after many others is among the last", () => {
    const done = filled(100, 150);
    done.set("k3", 1003);
    for (let n = 150; n < 249; n++) done.set(`k${n}`, n);
    expect(done.until("k3")).toBe(1003);
  });

  test("keys of one hash are told apart", () => {
    const [first, second] = collidingKeys(2, hashOf);
    const done = new DoneKeys(100);
    done.set(first, 1);
    expect(done.until(second)).toBe(NEVER);
    done.set(second, 2);
    expect([done.until(first), done.until(second)]).toEqual([1, 2]);
  });

  test("keys are told apart by every character, of whatever script, and by their length", () => {
    const keys = ["", "a", "aa", "é", "e\u0301", "\u0161", "a\u0161", "\ud83d", "\ude00", "\ud83d\ude00"];
    keys.push("x".repeat(5_000), `${"x".repeat(4_999)}y`, "\0", "\0\0");
    const done = new DoneKeys(100);
    for (const [n, key] of keys.entries()) {
      expect(done.until(key)).toBe(NEVER);
      done.set(key, n);
    }
    expect(keys.map((key) => done.until(key))).toEqual([...keys.keys()]);
  });

  test("any program of putting in and asking does what it does to a Map", () => {
    // Within what it keeps for certain, nothing is forgotten.
    const [done, map] = [new DoneKeys(500), new Map<string, number>()];
    for (let i = 0; i < 20_000; i++) {
      const key = `event-${(i * i) % 499}`;
      if (i % 3 === 0) {
        done.set(key, i);
        map.set(key, i);
      }
      expect(done.until(key)).toBe(map.get(key) ?? NEVER);
    }
  });

  test.each([1, 2, 3, 7, 50])("the last %d keys that were put in or asked for are kept", (max) => {
    const done = new DoneKeys(max);
    const random = seededRandom(max);
    // The one that was used longest ago is the first.
    const used = new Map<string, number>();
    for (let i = 0; i < 5_000; i++) {
      const key = `event-${Math.floor(random() * 3 * max)}`;
      const known = used.get(key) ?? NEVER;
      const isAmongLast = [...used.keys()].slice(-max).includes(key);
      used.delete(key);
      if (random() < 0.3) {
        done.set(key, i);
        used.set(key, i);
      } else {
        const until = done.until(key);
        expect(isAmongLast ? [known] : [known, NEVER]).toContain(until);
        if (until !== NEVER) used.set(key, until);
      }
    }
  });

  test.each(["Uint16Array", "Uint32Array", "Float64Array", "Int32Array"] as const)(
    "an allocation of a %s that fails once costs no other key its time",
    (name) => {
      for (let failing = 0; failing < 250; failing++) {
        const done = new DoneKeys(50);
        const Real = globalThis[name] as unknown as new (length: number) => object;
        const expected = new Map<string, number>();
        for (let n = 0; n < 300; n++) {
          if (n === failing) {
            const fail = () => {
              throw new RangeError("Array buffer allocation failed");
            };
            vi.stubGlobal(name, new Proxy(Real, { construct: fail }));
          }
          try {
            done.set(`event-${n}`, n);
            expected.set(`event-${n}`, n);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            vi.unstubAllGlobals();
          }
        }
        vi.unstubAllGlobals();
        for (const [key, until] of [...expected].slice(-50)) expect(done.until(key)).toBe(until);
      }
    },
  );

  test("a key that is asked for where there is no room to put it in anew is known all the same", () => {
    const done = filled(50, 60);
    for (const name of ["Uint16Array", "Uint32Array", "Float64Array", "Int32Array"]) {
      class Full {
        constructor() {
          throw new RangeError("Array buffer allocation failed");
        }
      }
      vi.stubGlobal(name, Full);
    }
    for (let n = 0; n < 60; n++) expect(done.until(`k${n}`)).toBe(n);
  });
});
