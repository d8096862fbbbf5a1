import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { ClaimStore } from "../claiming/claim-store.js";

/** The store to check, and its clock. */
export interface ClaimStoreUnderTest {
  readonly store: ClaimStore;
  /** Lets `milliseconds` pass for the store, by waiting or with a fake clock. */
  advance(milliseconds: number): unknown;
}

/**
 * The requirements for every `ClaimStore`, for any test runner. `check` rejects if the store does not meet
 * the requirement. Each check uses new keys, so all checks can use one store.
 */
export const claimStoreChecks: readonly {
  readonly name: string;
  check(underTest: ClaimStoreUnderTest): Promise<void>;
}[] = [
  {
    name: "claim returns won to one owner and busy to others, and done to all after settle",
    async check({ store }) {
      const key = randomUUID();
      assert.equal(await store.claim(key, "a", 10_000), "won");
      assert.equal(await store.claim(key, "b", 10_000), "busy");
      assert.equal(await store.settle(key, "a", 10_000), true);
      assert.equal(await store.claim(key, "a", 10_000), "done");
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "exactly one of many concurrent claims wins",
    async check({ store }) {
      const key = randomUUID();
      const claims = await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.claim(key, `owner-${i}`, 10_000)),
      );
      assert.equal(claims.filter((claim) => claim === "won").length, 1);
      assert.equal(claims.filter((claim) => claim === "busy").length, 49);
    },
  },
  {
    name: "another owner wins a released claim",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "won");
    },
  },
  {
    name: "another owner wins a claim after its lease, and the late owner can neither settle nor release it",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(5_000);
      assert.equal(await store.claim(key, "b", 10_000), "busy");
      await advance(5_001);
      assert.equal(await store.claim(key, "b", 10_000), "won");
      assert.equal(await store.settle(key, "a", 10_000), false);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "c", 10_000), "busy");
      assert.equal(await store.settle(key, "b", 10_000), true);
      assert.equal(await store.settle(key, "a", 10_000), false);
    },
  },
  {
    name: "an owner that claims again gets a new lease",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(8_000);
      assert.equal(await store.claim(key, "a", 10_000), "won");
      await advance(8_000);
      assert.equal(await store.claim(key, "b", 10_000), "busy");
    },
  },
  {
    name: "an owner can settle after its lease if nobody took over the claim",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(20_000);
      assert.equal(await store.settle(key, "a", 10_000), true);
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "the store forgets a settled key after its time to live, and not before",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 1_000);
      await store.settle(key, "a", 60_000);
      await advance(59_000);
      assert.equal(await store.claim(key, "b", 1_000), "done");
      await advance(1_001);
      assert.equal(await store.claim(key, "b", 1_000), "won");
    },
  },
  {
    name: "release does not change a settled key",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.settle(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "keys of any characters are distinct",
    async check({ store }) {
      const keys = [
        "",
        " ",
        "constructor",
        "__proto__",
        "a{b}c",
        "}{",
        "a:b",
        "a\nb",
        "ключ-🔑",
        "x".repeat(300),
      ];
      for (const key of keys.map((key) => randomUUID() + key)) {
        assert.equal(await store.claim(key, "a", 10_000), "won");
        assert.equal(await store.claim(`${key}x`, "b", 10_000), "won");
      }
    },
  },
  {
    name: "owners can have any name, even a word that the store itself uses",
    async check({ store }) {
      for (const owner of ["done", "busy", "1", "held:a", ""]) {
        const key = randomUUID();
        assert.equal(await store.claim(key, owner, 10_000), "won");
        assert.equal(await store.claim(key, `${owner}x`, 10_000), "busy");
        assert.equal(await store.settle(key, owner, 10_000), true);
      }
    },
  },
  {
    name: "keys and owners that differ only in half a surrogate pair are distinct",
    async check({ store }) {
      // UTF-8 maps both halves to U+FFFD. An escape must not equal another key, either.
      const odd = [
        "\ud800",
        "\ud801",
        "\udfff",
        "\ufffd",
        "\\ud800",
        "\\\\ud800",
        "\ud83d\ude00",
        "\ude00\ud83d",
      ];
      const base = randomUUID();
      for (const text of odd) assert.equal(await store.claim(base + text, text, 10_000), "won");
      for (const owner of odd) {
        const key = randomUUID();
        assert.equal(await store.claim(key, owner, 10_000), "won");
        for (const other of odd.filter((other) => other !== owner)) {
          assert.equal(await store.claim(key, other, 10_000), "busy");
          assert.equal(await store.settle(key, other, 10_000), false);
        }
        assert.equal(await store.settle(key, owner, 10_000), true);
      }
    },
  },
  {
    name: "latestOccurrence, if present, returns the latest recorded time until its time to live is over",
    async check({ store, advance }) {
      if (!store.latestOccurrence || !store.recordOccurrence) return;
      const key = randomUUID();
      assert.equal(await store.latestOccurrence(key), undefined);
      await store.recordOccurrence(key, 1_700_000_000_000, 60_000);
      await store.recordOccurrence(key, 1_600_000_000_000, 60_000);
      assert.equal(await store.latestOccurrence(key), 1_700_000_000_000);
      await advance(60_001);
      assert.equal(await store.latestOccurrence(key), undefined);
    },
  },
];
