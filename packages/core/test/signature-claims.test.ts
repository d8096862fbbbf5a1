import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { prolificWith, signedStudy } from "./deliveries.js";
import { after, contentsOf, slowClaims, virtualTime } from "./virtual-time.js";

const LATENCY = 20;

virtualTime();
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

/** Returns a delivery whose unsigned event id was replaced. */
function withId(delivery: ReturnType<typeof signedStudy>, id: string) {
  return { ...delivery, headers: { ...delivery.headers, "x-event-id": id } };
}

describe("signature claims", () => {
  test("a captured request with the id of another event does not block that event", async () => {
    const receiver = prolificWith({ claims: slowClaims(() => LATENCY) });
    let broken = false;
    const ran: string[] = [];
    receiver.onError(() => {});
    receiver.onAny((event) => {
      ran.push(event.id);
      if (broken) throw new Error("broken");
    });
    const captured = signedStudy("one", "id-1");
    await contentsOf(receiver.handle(captured));
    broken = true;
    await contentsOf(receiver.handle(signedStudy("two", "id-2")));
    broken = false;
    const [forged, genuine] = await contentsOf(
      receiver.handle(withId(captured, "id-2")),
      receiver.handle(signedStudy("two", "id-2", 60)),
    );
    expect(forged).toMatchObject({ duplicate: 1 });
    expect(genuine).toMatchObject({ handled: 1 });
    expect(ran).toEqual(["id-1", "id-2", "id-2"]);
  });

  test("the signature of a redelivery cannot be reused when the redelivery only waited for the first delivery", async () => {
    for (const claims of [memoryClaims(), slowClaims(() => LATENCY)]) {
      const receiver = prolificWith({ claims });
      const ran: string[] = [];
      receiver.onAny(async (event) => {
        ran.push(event.id);
        await after(500);
      });
      const redelivery = signedStudy("one", "id-1", 60);
      const both = await contentsOf(receiver.handle(signedStudy("one", "id-1")), receiver.handle(redelivery));
      expect(both).toMatchObject([{ handled: 1 }, { duplicate: 1 }]);
      expect(await contentsOf(receiver.handle(withId(redelivery, "forged")))).toMatchObject([
        { duplicate: 1 },
      ]);
      expect(ran).toEqual(["id-1"]);
    }
  });

  test("a captured request does not run again when its id is missing or too long", async () => {
    const receiver = prolificWith();
    const ran = vi.fn();
    receiver.onAny(ran);
    receiver.onUnrecognized(ran);
    const delivery = signedStudy("one", "id-1");
    await contentsOf(receiver.handle(delivery));
    for (const id of ["", "x".repeat(256)]) {
      expect(await contentsOf(receiver.handle(withId(delivery, id)))).toMatchObject([{ duplicate: 1 }]);
    }
    const idless = withId(signedStudy("two", "id-2"), "");
    await contentsOf(receiver.handle(idless));
    await contentsOf(receiver.handle(idless));
    expect(ran).toHaveBeenCalledTimes(2);
    // Two deliveries without an id are different events when their signatures differ.
    expect(await contentsOf(receiver.handle(withId(signedStudy("three", "id-3"), "")))).toMatchObject([
      { unrecognized: 1 },
    ]);
    expect(ran).toHaveBeenCalledTimes(3);
  });

  test("the receiver claims a signature for twice the tolerance and a minute of clock skew", async () => {
    const store = memoryClaims();
    const claim = vi.fn(store.claim);
    const settle = vi.fn(store.settle);
    const receiver = prolificWith({ claims: { ...store, claim, settle }, tolerance: 100 });
    receiver.onAny(() => {});
    await contentsOf(receiver.handle(signedStudy("one", "id-1")));
    const key = claim.mock.calls[0]?.[0];
    expect(key).toMatch(/^prolific\/signature:[0-9a-f]{64}$/);
    expect(claim.mock.calls).toEqual([
      [key, "id-1", 260_000],
      ["prolific:id-1", expect.any(String), 30_000],
    ]);
    expect(settle.mock.calls).toEqual([
      ["prolific:id-1", claim.mock.lastCall?.[1], 24 * 60 * 60 * 1000],
      [key, "id-1", 260_000],
    ]);
  });
});
