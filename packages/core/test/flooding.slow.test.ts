import { describe, expect, test } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { closed, contentOf, receiverWith, signed } from "./deliveries.js";

/** How many ids a sender makes. */
const COUNT = 50_000;
/** In one delivery, as many as `maxEvents` allows. */
const PER_DELIVERY = 10_000;

/** The hash FNV-1a of 32 bits, from a state on. */
function fnv1a(text: string, state: number): number {
  let hash = state;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/**
 * Returns ids that share one FNV-1a hash. Finds pairs of blocks that lead from one state to the same next
 * state; each of the 2^n ways through n pairs then ends in the same state.
 */
function collidingIds(count: number): string[] {
  let state = 0x811c9dc5;
  let ids = [""];
  while (ids.length < count) {
    const seen = new Map<number, string>();
    for (let n = 0; ; n++) {
      const block = n.toString(36).padStart(4, "0");
      const next = fnv1a(block, state);
      const other = seen.get(next);
      if (other !== undefined) {
        ids = ids.flatMap((id) => [id + other, id + block]);
        state = next;
        break;
      }
      seen.set(next, block);
    }
  }
  return ids.slice(0, count);
}

/** Returns as many ids of the same length with different hashes. */
function otherIds(count: number, { length }: string): string[] {
  return Array.from({ length: count }, (_, i) => i.toString(36).padStart(length, "-"));
}

async function secondsOf(run: () => unknown): Promise<number> {
  const started = performance.now();
  await run();
  return (performance.now() - started) / 1000;
}

describe(`${COUNT} ids that share one FNV-1a hash`, () => {
  const colliding = collidingIds(COUNT);
  const others = otherIds(COUNT, colliding[0] as string);

  test("are different ids with one hash", () => {
    expect(new Set(colliding).size).toBe(COUNT);
    expect(new Set(colliding.map((id) => fnv1a(id, 0x811c9dc5))).size).toBe(1);
  });

  // A table that an attacker can fill at one place compares each id with all others: it takes minutes.
  const FACTOR = 5;

  test("take createReceiver about as long as other ids", { timeout: 120_000 }, async () => {
    const deliver = async (ids: readonly string[]) => {
      const receiver = receiverWith();
      receiver.onAny(() => {});
      for (let i = 0; i < ids.length; i += PER_DELIVERY) {
        const part = ids.slice(i, i + PER_DELIVERY);
        const reply = await receiver.handle(signed(...part.map(closed)));
        expect(contentOf(reply)).toMatchObject({ handled: part.length });
      }
    };
    const usual = await secondsOf(() => deliver(others));
    expect(await secondsOf(() => deliver(colliding))).toBeLessThan(FACTOR * usual);
  });

  test("take memoryClaims about as long as other ids", { timeout: 120_000 }, async () => {
    const claimAll = (ids: readonly string[]) => {
      const store = memoryClaims({ max: COUNT });
      for (const id of ids) if (store.claim(id, "owner", 1_000) !== "won") throw new Error(id);
      for (const id of ids) store.settle(id, "owner", 60_000);
      for (const id of ids) if (store.claim(id, "another", 1_000) !== "done") throw new Error(id);
      for (const id of ids) store.recordOccurrence(id, 1, 60_000);
    };
    const usual = await secondsOf(() => claimAll(others));
    expect(await secondsOf(() => claimAll(colliding))).toBeLessThan(FACTOR * usual);
  });
});
