import { afterEach, beforeEach, expect, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { Reply } from "../src/reply.js";
import type { MaybePromise } from "../src/values/maybe-promise.js";
import { contentOf, NOW } from "./deliveries.js";

/**
 * Runs the tests of the current suite in virtual time, which starts at `NOW`. Fails a test that
 * leaves a timer or an unhandled rejection behind.
 */
export function virtualTime(): void {
  const unhandled = vi.fn();
  beforeEach(() => {
    vi.restoreAllMocks();
    vi.useFakeTimers({ now: NOW });
    unhandled.mockReset();
    process.on("unhandledRejection", unhandled);
  });
  afterEach(async () => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
    // Node reports unhandled rejections only after all microtasks.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
}

/** Resolves after this much virtual time. */
export function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Returns a claim store whose answers take `latency()` milliseconds each, so that they can overtake each other. */
export function slowClaims(latency: () => number, store = memoryClaims()): ClaimStore {
  const later = <T>(act: () => MaybePromise<T>) => after(latency()).then(act);
  return {
    claim: (...args) => later(() => store.claim(...args)),
    settle: (...args) => later(() => store.settle(...args)),
    release: (...args) => later(() => store.release(...args)),
  };
}

/** Lets a second pass and returns the content of each reply. */
export async function contentsOf(...replies: Promise<Pick<Reply, "body">>[]) {
  await vi.advanceTimersByTimeAsync(1_000);
  return (await Promise.all(replies)).map(contentOf);
}
