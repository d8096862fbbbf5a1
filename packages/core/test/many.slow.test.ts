import { describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../../test/seeded-random.js";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import type { Delivery } from "../src/delivery.js";
import type { ReceiverOptions } from "../src/options.js";
import {
  closed,
  contentOf,
  deferred,
  NOW,
  never,
  prolificWith,
  receiverWith,
  signed,
  signedStudy,
  submitted,
} from "./deliveries.js";
import { after, slowClaims, virtualTime } from "./virtual-time.js";

const SEED = 20_261_122;

virtualTime();

interface Planned {
  readonly id: string;
  readonly key: string;
  readonly takes: number;
}

const sum = (events: readonly Planned[]) => events.reduce((total, { takes }) => total + takes, 0);

/** Returns 1,000 events of random duration, spread over 50 keys at random. */
function planned(random: () => number): Planned[] {
  return Array.from({ length: 1_000 }, (_, i) => ({
    id: `event-${i}`,
    key: `key-${Math.floor(random() * 50)}`,
    takes: 1 + Math.floor(random() * 100),
  }));
}

/** Registers a listener that takes as long as planned, and records how the events ran. */
function watch(receiver: ReturnType<typeof receiverWith>, events: readonly Planned[]) {
  const plan = new Map(events.map((event) => [event.id, event]));
  const begun: string[] = [];
  const running = new Map<string, string>();
  const overlaps: string[] = [];
  const atOnce = new Map<Delivery, number>();
  let most = 0;
  receiver.onAny(async ({ id }, { delivery }) => {
    const { key, takes } = plan.get(id) as Planned;
    begun.push(id);
    const other = running.get(key);
    if (other !== undefined) overlaps.push(`${id} beside ${other}`);
    running.set(key, id);
    const now = (atOnce.get(delivery) ?? 0) + 1;
    atOnce.set(delivery, now);
    most = Math.max(most, now);
    await after(takes);
    atOnce.set(delivery, (atOnce.get(delivery) ?? 0) - 1);
    running.delete(key);
  });
  return {
    overlaps,
    begun,
    most: () => most,
    /** Returns the events of each key in the order in which they started. */
    order: () => byKey(begun.map((id) => plan.get(id) as Planned)),
  };
}

function byKey(events: readonly Planned[]): Map<string, string[]> {
  const keys = new Map<string, string[]>(
    [...new Set(events.map(({ key }) => key))].sort().map((key) => [key, []]),
  );
  for (const { key, id } of events) keys.get(key)?.push(id);
  return keys;
}

const stores: [string, (random: () => number) => ReceiverOptions][] = [
  ["claims in memory", () => ({})],
  [
    "a claim store whose answers overtake each other",
    (random) => ({ claims: slowClaims(() => random() * 20) }),
  ],
];

describe.each(stores)("1,000 events of 50 keys with %s", (_, optionsWith) => {
  test("the events of one delivery keep the order of each key and take at most 1.3 times the ideal time", async () => {
    const random = seededRandom(SEED);
    const events = planned(random);
    const receiver = receiverWith({ concurrency: 16, ...optionsWith(random) });
    const watched = watch(receiver, events);
    const reply = receiver.handle(signed(...events.map(({ id, key }) => submitted(id, key))));
    const took = reply.then(() => Date.now() - NOW);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(contentOf(await reply)).toMatchObject({ handled: 1_000 });
    expect(watched.overlaps).toEqual([]);
    expect(watched.order()).toEqual(byKey(events));
    expect(watched.most()).toBe(16);
    const keys = [...byKey(events).keys()];
    const longest = Math.max(...keys.map((key) => sum(events.filter((event) => event.key === key))));
    const least = Math.max(longest, sum(events) / 16);
    expect(await took).toBeGreaterThanOrEqual(least);
    expect(await took).toBeLessThanOrEqual(1.3 * least);
  });

  test("the events of 25 overlapping deliveries keep the order of each key and take at most 1.3 times the ideal time", async () => {
    const random = seededRandom(SEED + 1);
    const events = planned(random);
    const receiver = receiverWith({ concurrency: 16, ...optionsWith(random) });
    const watched = watch(receiver, events);
    const every = 7;
    const deliveries = Array.from({ length: 25 }, (_, i) => events.slice(40 * i, 40 * i + 40));
    let took = 0;
    const replies = deliveries.map(async (batch, i) => {
      await after(every * i);
      const reply = await receiver.handle(signed(...batch.map(({ id, key }) => submitted(id, key))));
      took = Math.max(took, Date.now() - NOW);
      return reply;
    });
    await vi.advanceTimersByTimeAsync(60_000);
    for (const reply of await Promise.all(replies)) expect(contentOf(reply)).toMatchObject({ handled: 40 });
    expect(watched.overlaps).toEqual([]);
    expect(watched.order()).toEqual(byKey(events));
    expect(watched.most()).toBeLessThanOrEqual(16);
    // The ideal runs each key's events back to back from their arrival, and 16 events of a delivery at once.
    const ends = new Map<string, number>();
    for (const [i, { key, takes }] of events.entries()) {
      ends.set(key, Math.max(ends.get(key) ?? 0, every * Math.floor(i / 40)) + takes);
    }
    const least = Math.max(...ends.values(), ...deliveries.map((batch, i) => every * i + sum(batch) / 16));
    expect(took).toBeGreaterThanOrEqual(least);
    expect(took).toBeLessThanOrEqual(1.3 * least);
  });

  test("events run in the exact order of their delivery when concurrency is 1", async () => {
    const random = seededRandom(SEED + 2);
    const events = planned(random);
    const receiver = receiverWith({ concurrency: 1, ...optionsWith(random) });
    const watched = watch(receiver, events);
    const reply = receiver.handle(signed(...events.map(({ id, key }) => submitted(id, key))));
    await vi.advanceTimersByTimeAsync(2 * sum(events));
    expect(contentOf(await reply)).toMatchObject({ handled: 1_000 });
    expect(watched.begun).toEqual(events.map(({ id }) => id));
    expect(watched.most()).toBe(1);
  });
});

describe("many duplicates at once", () => {
  test.each(stores)(
    "deliveries finish and run each event once when they hold the same events in random orders (%s)",
    async (_, optionsWith) => {
      const random = seededRandom(SEED + 3);
      const receiver = receiverWith({ concurrency: 16, ...optionsWith(random) });
      const ran: string[] = [];
      receiver.onAny(async ({ id }) => {
        await after(10);
        ran.push(id);
      });
      const ids = ["v", "w", "x", "y", "z"];
      const replies = Array.from({ length: 30 }, async () => {
        await after(random() * 40);
        const order = [...ids, ...ids].sort(() => random() - 0.5);
        return receiver.handle(signed(...order.map((uuid) => submitted(uuid, uuid < "x" ? "one" : "two"))));
      });
      await vi.advanceTimersByTimeAsync(5_000);
      const contents = (await Promise.all(replies)).map(contentOf);
      expect(ran.sort()).toEqual(ids);
      expect(contents.reduce((total, { handled }) => total + handled, 0)).toBe(5);
      expect(contents.reduce((total, { duplicate }) => total + duplicate, 0)).toBe(295);
    },
  );

  test("copies and redeliveries of one Prolific study finish when claims come in any order, late or never", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const random = seededRandom(SEED + 4);
    for (let round = 0; round < 100; round++) {
      // The store answers late, never, or with a failure.
      const store = slowClaims(() => random() * 50);
      const claims: ClaimStore = {
        ...store,
        claim(...args) {
          const luck = random();
          if (luck < 0.05) throw new Error("broken");
          return luck < 0.1 ? never() : store.claim(...args);
        },
      };
      const receiver = prolificWith({ concurrency: 4, claims });
      const ran: string[] = [];
      receiver.onAny(async ({ id }) => {
        await after(random() * 30);
        ran.push(id);
      });
      const replies = Array.from({ length: 12 }, (_, i) =>
        receiver.handle(signedStudy("one study", `${round}-${i % 3}`, Math.floor(i / 6))),
      );
      await vi.advanceTimersByTimeAsync(20_000);
      const contents = (await Promise.all(replies)).map(contentOf);
      for (const { code } of contents) {
        expect([undefined, "STORE_UNAVAILABLE", "EVENT_BUSY"]).toContain(code);
      }
      // An event runs once, or not at all when the store failed it.
      expect(ran).toHaveLength(new Set(ran).size);
      expect(contents.reduce((total, { handled }) => total + handled, 0)).toBe(ran.length);
    }
  });
});

describe("memory of handled events", () => {
  test("the receiver recognizes the last 50,000 handled events, and a running event however many follow it", async () => {
    const receiver = receiverWith();
    const { passed: finished, open: finish } = deferred();
    const listener = vi.fn((event: { id: string }) => (event.id === "slow" ? finished : undefined));
    receiver.on("POOL_CLOSED", listener);
    const deliver = async (...ids: string[]) => {
      const events = ids.map((uuid) => closed(uuid));
      return JSON.parse((await receiver.handle(signed(...events))).body);
    };
    const slow = deliver("slow");
    for (let i = 0; i < 130; i++) await deliver(...Array.from({ length: 1000 }, (_, j) => `${i}-${j}`));
    const again = deliver("slow");
    for (let i = 129; i >= 80; i--) {
      const ids = Array.from({ length: 1000 }, (_, j) => `${i}-${999 - j}`);
      expect(await deliver(...ids)).toMatchObject({ handled: 0, duplicate: 1000 });
    }
    finish();
    expect(await slow).toMatchObject({ handled: 1 });
    expect(await again).toMatchObject({ duplicate: 1 });
    expect(listener).toHaveBeenCalledTimes(130_001);
  });

  test("a handled event stays known when 110,000 other events run and fail", async () => {
    const receiver = receiverWith();
    const handle = async (...events: object[]) => contentOf(await receiver.handle(signed(...events)));
    const listener = vi.fn();
    receiver.on("POOL_CLOSED", listener);
    receiver.on("ASSIGNMENT_SUBMITTED", () => {
      throw new Error("never");
    });
    receiver.onError(() => {});
    const first = closed("first");
    expect(await handle(first)).toMatchObject({ handled: 1 });
    const all = Array.from({ length: 110 }, (_, i) =>
      handle(...Array.from({ length: 1000 }, (_, j) => submitted(`${i}-${j}`, "assignment"))),
    );
    for (const reply of await Promise.all(all)) expect(reply).toMatchObject({ failed: 1000 });
    expect(await handle(first)).toMatchObject({ duplicate: 1 });
    expect(listener).toHaveBeenCalledOnce();
  });
});
