import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../../test/seeded-random.js";
import { type ClaimStore, memoryClaims } from "../src/claims.js";
import type { Delivery, Reply } from "../src/delivery.js";
import type { ReceiverOptions } from "../src/options.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
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

/** Resolves when asked to, so that a test decides when a listener is done. */
function gate() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

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

describe("keys", () => {
  /** Which of these events begin before any of them ends. */
  async function beginAtOnce(options: ReceiverOptions, events: readonly object[]) {
    const receiver = receiverWith({ concurrency: 100, ...options });
    const { passed, open } = gate();
    const begun: string[] = [];
    receiver.onAny(({ id }) => {
      begun.push(id);
      return passed;
    });
    const reply = receiver.handle(signed(...events));
    await vi.advanceTimersByTimeAsync(0);
    const first = [...begun];
    open();
    expect((await reply).status).toBe(200);
    expect(begun).toHaveLength(events.length);
    return first;
  }

  test("are by default what an event is about: its assignment, else its task, else its pool", async () => {
    const about = { assignment_id: "assignment", task_id: "task", pool_id: "pool" };
    const begun = await beginAtOnce({}, [
      tolokaEvent("ASSIGNMENT_CREATED", { uuid: "assignment 1", ...about }),
      tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid: "assignment 2", ...about }),
      tolokaEvent("DYNAMIC_OVERLAP_COMPLETED", { uuid: "task 1", ...about, assignment_id: undefined }),
      tolokaEvent("DYNAMIC_OVERLAP_COMPLETED", { uuid: "task 2", ...about, assignment_id: undefined }),
      tolokaEvent("POOL_CLOSED", { uuid: "pool 1", pool_id: "pool" }),
      tolokaEvent("TEST_EVENT", { uuid: "pool 2", pool_id: "pool" }),
    ]);
    expect(begun).toEqual(["assignment 1", "task 1", "pool 1"]);
  });

  test("are what orderBy says; what it gives no key for waits for nobody", async () => {
    const events = ["a1", "a2", "b1", "-1", "-2"].map((uuid) => submitted(uuid, "the same"));
    const orderBy = ({ id }: { id: string }) => (id.startsWith("-") ? undefined : id.slice(0, 1));
    expect(await beginAtOnce({ orderBy }, events)).toEqual(["a1", "b1", "-1", "-2"]);
  });

  test("are kept in order across deliveries by orderBy alone, too", async () => {
    const receiver = receiverWith({ orderBy: () => "one key" });
    const { passed, open } = gate();
    const begun: string[] = [];
    receiver.onAny(({ id }) => {
      begun.push(id);
      return id === "first" ? passed : undefined;
    });
    const replies = ["first", "second"].map((uuid) => receiver.handle(signed(submitted(uuid, uuid))));
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual(["first"]);
    open();
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200]);
    expect(begun).toEqual(["first", "second"]);
  });

  test("orderBy alone leaves the order of a delivery as it is", async () => {
    const receiver = receiverWith({ orderBy: ({ id }) => id.slice(0, 1) });
    const { passed, open } = gate();
    const begun: string[] = [];
    receiver.onAny(({ id }) => {
      begun.push(id);
      return id === "a0" ? passed : undefined;
    });
    const [a0, a1, b1] = ["a0", "a1", "b1"].map((uuid) => submitted(uuid, uuid));
    const replies = [[a0], [a1, b1]].map((events) => receiver.handle(signed(...(events as object[]))));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(begun).toEqual(["a0"]);
    open();
    await Promise.all(replies);
    expect(begun).toEqual(["a0", "a1", "b1"]);
  });

  test("an orderBy that throws costs INTERNAL_ERROR; nothing has run, and nothing is left behind", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    let broken = true;
    const receiver = receiverWith({
      concurrency: 16,
      claims: store,
      orderBy({ id }) {
        if (broken && id === "second") throw new RangeError("hunter2");
        return "one key";
      },
    });
    const ran: string[] = [];
    receiver.onAny(({ id }) => ran.push(id));
    const delivery = signed(...["first", "second", "third"].map((uuid) => submitted(uuid, uuid)));
    const reply = await receiver.handle(delivery);
    expect([reply.status, contentOf(reply).code]).toEqual([500, "INTERNAL_ERROR"]);
    expect(ran).toEqual([]);
    expect(log.mock.calls.join()).toContain("RangeError");
    expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
    expect(store.claim("toloka:first", "another process", 0)).toBe("won");
    broken = false;
    expect(contentOf(await receiver.handle(delivery))).toMatchObject({ handled: 3 });
    expect(ran).toEqual(["first", "second", "third"]);
  });

  test("an event that fails lets those behind it pass, and runs again when it comes again", async () => {
    const receiver = receiverWith({ concurrency: 16 });
    const ran: string[] = [];
    let broken = true;
    receiver.onError(() => {});
    receiver.onAny(async ({ id }) => {
      ran.push(id);
      await after(10);
      if (broken && id === "second") throw new Error("broken");
    });
    const delivery = signed(...["first", "second", "third"].map((uuid) => submitted(uuid, "one key")));
    const reply = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(30);
    expect(contentOf(await reply)).toMatchObject({ code: "EVENT_FAILED", handled: 2, failed: 1 });
    broken = false;
    const again = receiver.handle(delivery);
    await vi.advanceTimersByTimeAsync(10);
    expect(contentOf(await again)).toMatchObject({ handled: 1, duplicate: 2 });
    expect(ran).toEqual(["first", "second", "third", "second"]);
  });

  test("a listener that hangs holds up its own key until the time limit, and no other key", async () => {
    const receiver = receiverWith({ concurrency: 16, timeout: 5 });
    const ended: string[] = [];
    receiver.onError(() => {});
    receiver.onAny(({ id }) => (id === "hangs" ? new Promise(() => {}) : void ended.push(id)));
    const hanging = receiver.handle(signed(submitted("hangs", "x"), submitted("free", "y")));
    const behind = receiver.handle(signed(submitted("behind", "x")));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(ended).toEqual(["free"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(contentOf(await hanging)).toMatchObject({ handled: 1, failed: 1 });
    expect(contentOf(await behind)).toMatchObject({ handled: 1 });
  });
});

describe("duplicates in lanes", () => {
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

  test("events that another process holds are busy at once, and hold up nobody", async () => {
    const store = memoryClaims();
    store.claim("toloka:x", "another process", 60_000);
    const receiver = receiverWith({ concurrency: 16, claims: store });
    const ran: string[] = [];
    receiver.onAny(({ id }) => ran.push(id));
    const one = receiver.handle(signed(submitted("x", "k"), submitted("y", "k")));
    const two = receiver.handle(signed(submitted("y", "k"), submitted("x", "k")));
    await vi.advanceTimersByTimeAsync(0);
    expect([contentOf(await one), contentOf(await two)]).toMatchObject([
      { code: "EVENT_BUSY", handled: 1, busy: 1 },
      { code: "EVENT_BUSY", duplicate: 1, busy: 1 },
    ]);
    expect(ran).toEqual(["y"]);
  });

  test("a claim that never comes holds up its key for three seconds, and is not run", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    const claims: ClaimStore = {
      ...store,
      claim: (key, ...rest) => (key === "toloka:x" ? new Promise(() => {}) : store.claim(key, ...rest)),
    };
    const receiver = receiverWith({ concurrency: 16, claims });
    const ran: string[] = [];
    receiver.onAny(({ id }) => ran.push(id));
    const one = receiver.handle(signed(submitted("x", "k")));
    const two = receiver.handle(signed(submitted("y", "k"), submitted("z", "another")));
    await vi.advanceTimersByTimeAsync(2_999);
    expect(ran).toEqual(["z"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(contentOf(await one)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 0 });
    expect(contentOf(await two)).toMatchObject({ handled: 2 });
    expect(ran).toEqual(["z", "y"]);
  });

  test("an event whose claim was lost while it waited in its lane is not run, and lets the next one pass", async () => {
    const store = memoryClaims();
    const receiver = receiverWith({ concurrency: 16, claims: store });
    const { passed, open } = gate();
    const ran: string[] = [];
    receiver.onAny(({ id }) => {
      ran.push(id);
      return id === "first" ? passed : undefined;
    });
    const reply = receiver.handle(signed(...["first", "lost", "last"].map((uuid) => submitted(uuid, "k"))));
    await vi.advanceTimersByTimeAsync(0);
    vi.setSystemTime(Date.now() + 31_000);
    expect(store.claim("toloka:lost", "another process", 30_000)).toBe("won");
    expect(store.settle("toloka:lost", "another process", 1_000_000)).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    open();
    expect(contentOf(await reply)).toMatchObject({ handled: 2, duplicate: 1 });
    expect(ran).toEqual(["first", "last"]);
  });

  describe("of Prolific, whose signatures are claimed, too", () => {
    const sign = (id: string, seconds: number) =>
      signProlific({
        secret: SECRET,
        id,
        timestamp: NOW + seconds * 1000,
        event: prolificEvent("study.status.change", { resource_id: "one study" }),
      });

    test("whichever claim comes first, copies and redeliveries of one study all come to an end", async () => {
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

    test("a redelivery whose signature is claimed first runs in place of the first, which shares its outcome", async () => {
      const store = memoryClaims();
      let answer = () => {};
      let asked = 0;
      const claims: ClaimStore = {
        ...store,
        claim: (...args) =>
          ++asked === 1
            ? new Promise((resolve) => {
                answer = () => resolve(store.claim(...args));
              })
            : store.claim(...args),
      };
      const receiver = createReceiver(prolific, { secret: SECRET, clock: () => NOW, concurrency: 4, claims });
      const ran: string[] = [];
      receiver.onAny(({ id }) => ran.push(id));
      const first = receiver.handle(sign("id", 0));
      const second = receiver.handle(sign("id", 60));
      await vi.advanceTimersByTimeAsync(0);
      expect(ran).toEqual([]);
      answer();
      expect([contentOf(await first), contentOf(await second)]).toMatchObject([
        { duplicate: 1 },
        { handled: 1 },
      ]);
      expect(ran).toEqual(["id"]);
    });
  });
});

describe("what is left behind", () => {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");

  test("is nothing: 5,000 keys of 10 kB have come and gone, and memory is as it was", async () => {
    const receiver = receiverWith({
      concurrency: 4,
      claims: memoryClaims({ max: 1 }),
      orderBy: ({ id }) => id.padEnd(10_000),
    });
    receiver.onError(() => {});
    receiver.onAny(({ id }) => (id.endsWith("7") ? Promise.reject(new Error("broken")) : Promise.resolve()));
    let last = 0;
    const deliver = () => {
      const events = Array.from({ length: 10 }, () => submitted(String(last++), "assignment"));
      // Two of each, so that some events follow others.
      const delivery = signed(...events, ...events);
      return Promise.all([receiver.handle(delivery), receiver.handle(delivery)]);
    };
    for (let i = 0; i < 20; i++) await deliver();
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 500; i++) await deliver();
    gc();
    // If the lanes remembered their keys, that were 50 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024);
  }, 30_000);
});
