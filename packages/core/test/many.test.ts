import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../../test/seeded-random.js";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { Delivery } from "../src/delivery.js";
import type { ReceiverOptions } from "../src/options.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import type { Reply } from "../src/reply.js";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";
const NOW = 1_581_682_978_000;
const SEED = 20_261_122;

const receiverWith = (options: ReceiverOptions = {}) =>
  createReceiver(toloka, { secret: SECRET, clock: () => NOW, ...options });
const signed = (...events: object[]) => signToloka({ secret: SECRET, timestamp: NOW, events });
const submitted = (uuid: string, assignment_id: string) =>
  tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid, assignment_id });
const contentOf = (reply: Reply) => JSON.parse(reply.body);
/** Virtual time: how long a listener, a store or a sender takes. */
const after = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** The store in memory, its answers as late as `latency` says, so that they overtake each other. */
function slowClaims(latency: () => number): ClaimStore {
  const store = memoryClaims();
  return {
    claim: (...args) => after(latency()).then(() => store.claim(...args)),
    settle: (...args) => after(latency()).then(() => store.settle(...args)),
    release: (...args) => after(latency()).then(() => store.release(...args)),
  };
}

beforeEach(() => {
  vi.restoreAllMocks();
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

interface Planned {
  readonly id: string;
  readonly key: string;
  readonly takes: number;
}

const sum = (events: readonly Planned[]) => events.reduce((total, { takes }) => total + takes, 0);

/** 1,000 events of random length, of 50 keys in random order. */
function planned(random: () => number): Planned[] {
  return Array.from({ length: 1_000 }, (_, i) => ({
    id: `event-${i}`,
    key: `key-${Math.floor(random() * 50)}`,
    takes: 1 + Math.floor(random() * 100),
  }));
}

/** Writes down what a receiver's listeners do with planned events. */
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
    /** The events of each key, in the order in which they began. */
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
  ["a store whose answers overtake each other", (random) => ({ claims: slowClaims(() => random() * 20) })],
];

describe.each(stores)("1,000 events of 50 keys, 16 at once, with %s", (_, optionsWith) => {
  test("of one delivery keep their order within each key, and take little longer than they must", async () => {
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

  test("of 25 deliveries that come one upon another keep their order within each key, and wait for no other", async () => {
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
    // Each key's events back to back from when they came, and each delivery's on 16 at once.
    const ends = new Map<string, number>();
    for (const [i, { key, takes }] of events.entries()) {
      ends.set(key, Math.max(ends.get(key) ?? 0, every * Math.floor(i / 40)) + takes);
    }
    const least = Math.max(...ends.values(), ...deliveries.map((batch, i) => every * i + sum(batch) / 16));
    expect(took).toBeGreaterThanOrEqual(least);
    expect(took).toBeLessThanOrEqual(1.3 * least);
  });

  test("one at a time run in the exact order of their delivery", async () => {
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
    "deliveries that hold the same events of one key in other orders all come to an end, each event run once (%s)",
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

  const sign = (id: string, seconds: number) =>
    signProlific({
      secret: SECRET,
      id,
      timestamp: NOW + seconds * 1000,
      event: prolificEvent("study.status.change", { resource_id: "one study" }),
    });

  test("whichever claim comes first, copies and redeliveries of one study of Prolific all come to an end", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const random = seededRandom(SEED + 4);
    for (let round = 0; round < 100; round++) {
      // Some answers are late, some never come, some are failures.
      const store = slowClaims(() => random() * 50);
      const claims: ClaimStore = {
        ...store,
        claim(...args) {
          const luck = random();
          if (luck < 0.05) throw new Error("broken");
          return luck < 0.1 ? new Promise(() => {}) : store.claim(...args);
        },
      };
      const receiver = createReceiver(prolific, {
        secret: SECRET,
        clock: () => NOW,
        concurrency: 4,
        claims,
      });
      const ran: string[] = [];
      receiver.onAny(async ({ id }) => {
        await after(random() * 30);
        ran.push(id);
      });
      const replies = Array.from({ length: 12 }, (_, i) =>
        receiver.handle(sign(`${round}-${i % 3}`, Math.floor(i / 6))),
      );
      await vi.advanceTimersByTimeAsync(20_000);
      const contents = (await Promise.all(replies)).map(contentOf);
      for (const { code } of contents) {
        expect([undefined, "STORE_UNAVAILABLE", "EVENT_BUSY"]).toContain(code);
      }
      // Once each, or not at all where the store was in the way.
      expect(ran).toHaveLength(new Set(ran).size);
      expect(contents.reduce((total, { handled }) => total + handled, 0)).toBe(ran.length);
    }
  });
});

describe("what is remembered", () => {
  test("the last 50,000 handled events are remembered, and one under way is whatever comes after it", async () => {
    const receiver = receiverWith();
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const listener = vi.fn((event: { id: string }) => (event.id === "slow" ? finished : undefined));
    receiver.on("POOL_CLOSED", listener);
    const deliver = async (...ids: string[]) => {
      const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
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
});
