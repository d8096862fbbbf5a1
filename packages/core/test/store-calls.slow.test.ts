import { describe, expect, test, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { closed, contentOf, never, receiverWith, signed } from "./deliveries.js";
import { slowClaims, virtualTime } from "./virtual-time.js";

virtualTime();

const delivery = (count: number) => signed(...Array.from({ length: count }, (_, i) => closed(`event-${i}`)));

describe("calls to a claim store", () => {
  test("of one delivery run at most 500 at once, each within its own time limit", async () => {
    let running = 0;
    let most = 0;
    const counted =
      <Args extends unknown[], T>(call: (...args: Args) => T | PromiseLike<T>) =>
      async (...args: Args) => {
        most = Math.max(most, ++running);
        const result = await call(...args);
        running--;
        return result;
      };
    // The waves take 12 seconds, and a call may take three.
    const slow = slowClaims(() => 2_000, memoryClaims());
    const claims: ClaimStore = {
      claim: counted(slow.claim),
      settle: counted(slow.settle),
      release: slow.release,
    };
    const receiver = receiverWith({ claims });
    receiver.onAny(() => {});
    const reply = receiver.handle(delivery(1_100));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(contentOf(await reply)).toMatchObject({ handled: 1_100 });
    expect(most).toBe(500);
  });

  test("hold up a delivery for one time limit when the store does not answer, however many events it has", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const claim = vi.fn(never);
    const receiver = receiverWith({ claims: { ...memoryClaims(), claim } });
    const listener = vi.fn();
    receiver.onAny(listener);
    const reply = receiver.handle(delivery(1_100));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(contentOf(await reply)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 0 });
    expect(claim).toHaveBeenCalledTimes(500);
    expect(listener).not.toHaveBeenCalled();
  });
});
