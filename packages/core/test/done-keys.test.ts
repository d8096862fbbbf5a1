import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createKeyHash, DoneKeys } from "../src/claiming/done-keys.js";

function filled(max: number, count: number): DoneKeys {
  const done = new DoneKeys(max);
  for (let n = 0; n < count; n++) done.set(`k${n}`, n);
  return done;
}

/** A plain implementation: two maps, the older one dropped as a whole. */
class Reference {
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  constructor(readonly max: number) {}

  until(key: string): number | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, until: number): void {
    this.#young.set(key, until);
    if (this.#young.size < this.max) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}

describe("DoneKeys", () => {
  test.each([1, 2, 63, 64, 65, 99, 100, 101, 200, 201, 1000])(
    "of %d keys keeps those that were set last: at least 100 and fewer than 200",
    (count) => {
      const done = filled(100, count);
      // Newest first, because a lookup counts as a use.
      const kept = Array.from({ length: count }, (_, i) => done.until(`k${count - 1 - i}`)).filter(
        (until) => until !== undefined,
      );
      expect(kept.slice(0, 100)).toEqual(
        Array.from({ length: Math.min(100, count) }, (_, i) => count - 1 - i),
      );
      expect(kept.length).toBeLessThan(200);
    },
  );

  test.each([1, 2, 7, 100, 1000])("answers like two plain maps when it keeps at least %d keys", (max) => {
    const done = new DoneKeys(max);
    const reference = new Reference(max);
    const bytes = createHash("shake256", { outputLength: 40_000 }).update(`${max}`).digest();
    for (let i = 0; i < bytes.length; i += 4) {
      const key = `key ${bytes.readUInt16LE(i) % (4 * max)}`;
      const until = bytes.readUInt16LE(i + 2);
      if (until % 2 === 0) expect([key, done.until(key)]).toEqual([key, reference.until(key)]);
      else {
        done.set(key, until);
        reference.set(key, until);
      }
    }
  });

  test("a key that is set again takes no room, and has its last time", () => {
    const done = filled(100, 90);
    for (let i = 0; i < 1000; i++) done.set("k5", i);
    expect([done.until("k0"), done.until("k5")]).toEqual([0, 999]);
  });

  test("a key that is asked for is kept while others are dropped", () => {
    const done = filled(100, 100);
    for (let n = 100; n < 1000; n++) {
      done.set(`k${n}`, n);
      expect(done.until("k7")).toBe(7);
    }
    expect(done.until("k8")).toBeUndefined();
  });

  test("keys that differ in one character, in their length or beyond the part that is hashed are different", () => {
    const long = "x".repeat(5_000);
    const keys = ["", "\0", "\0\0", "a", "a\0", "b", "ab", "ba", "\u{1f600}", "\ud83d", long, `${long}y`];
    const done = new DoneKeys(100);
    for (const [n, key] of keys.entries()) {
      expect(done.until(key)).toBeUndefined();
      done.set(key, n);
    }
    expect(keys.map((key) => done.until(key))).toEqual(keys.map((_, n) => n));
  });
});

describe("the hash of a key", () => {
  test("depends on secret numbers, so keys that collide for one receiver do not for another", () => {
    const upperBits = (hash: number) => hash >>> 22;
    const [first, second] = [createKeyHash(), createKeyHash()];
    const wanted = upperBits(first("id"));
    const colliding: string[] = [];
    for (let n = 0; colliding.length < 20; n++)
      if (upperBits(first(`toloka:${n}`)) === wanted) colliding.push(`toloka:${n}`);
    expect(new Set(colliding.map((key) => upperBits(second(key)))).size).toBeGreaterThan(10);
  });

  test("spreads ids that count upwards over many slots", () => {
    const hash = createKeyHash();
    const slots = new Set(Array.from({ length: 65_536 }, (_, n) => hash(`toloka:assignment-${n}`) >>> 16));
    // Random slots would fill 63 %. The share depends on the coefficients: in 900 trials it was at least 32 %.
    expect(slots.size).toBeGreaterThan(0.15 * 65_536);
  });
});
