import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { ClaimStore } from "./claiming/claim-store.js";

export {
  prolificEvent,
  type SignProlificOptions,
  signProlific,
} from "./providers/prolific/sender.js";
export {
  type HeaderLines,
  type Sender,
  type SentEvent,
  type SignatureValues,
  type SignedDelivery,
  signDelivery,
} from "./providers/sender.js";
export { SENDERS } from "./providers/senders.js";
export { type SignTolokaOptions, signToloka, tolokaEvent } from "./providers/toloka/sender.js";

/** A clock that stands still until it is told otherwise. */
export interface TestClock {
  /** Unix time in milliseconds. */
  (): number;
  set(time: number): void;
  /** Moves the clock by so many milliseconds, backwards if negative. */
  advance(milliseconds: number): void;
}

/** @param time Where it starts: Unix time in milliseconds. Default: now. */
export function testClock(time = Date.now()): TestClock {
  let now = time;
  return Object.assign(() => now, {
    set(to: number) {
      now = to;
    },
    advance(milliseconds: number) {
      now += milliseconds;
    },
  });
}

/** A store to check, and the time to check it by. */
export interface ClaimStoreUnderTest {
  readonly store: ClaimStore;
  /** Lets so many milliseconds pass for the store, or has it believe so. */
  advance(milliseconds: number): unknown;
}

/** What every `ClaimStore` must do, for any test runner: `check` rejects if the store does otherwise. */
export const claimStoreChecks: readonly {
  readonly name: string;
  check(underTest: ClaimStoreUnderTest): Promise<void>;
}[] = [
  {
    name: "one owner wins, others find it busy, and once it is settled all find it done",
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
    name: "of many that claim at once exactly one wins",
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
    name: "a claim that is released can be won by another",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "won");
    },
  },
  {
    name: "a claim is free once its lease is over, and its late owner can neither settle nor release it then",
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
    name: "an owner that claims again has a new lease",
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
    name: "an owner whose lease is over can still settle, as long as nobody took over",
    async check({ store, advance }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await advance(20_000);
      assert.equal(await store.settle(key, "a", 10_000), true);
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "what is done is forgotten after its time to live, and not before",
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
    name: "what is done cannot be released",
    async check({ store }) {
      const key = randomUUID();
      await store.claim(key, "a", 10_000);
      await store.settle(key, "a", 10_000);
      await store.release(key, "a");
      assert.equal(await store.claim(key, "b", 10_000), "done");
    },
  },
  {
    name: "keys are told apart, whatever they are made of",
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
    name: "an owner may be called anything, even what the store itself writes",
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
    name: "if it remembers the latest time of a key, that is the greatest one, for its time to live",
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

export { type DurableSinksUnderTest, durableSinkChecks } from "./conformance/durable-sink-checks.js";
