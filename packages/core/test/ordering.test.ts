import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { ReceiverOptions } from "../src/options.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import type { Reply } from "../src/reply.js";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";
const NOW = 1_581_682_978_000;

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

beforeEach(() => {
  vi.restoreAllMocks();
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
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

  test("are what orderingKey says; what it gives no key for waits for nobody", async () => {
    const events = ["a1", "a2", "b1", "-1", "-2"].map((uuid) => submitted(uuid, "the same"));
    const orderingKey = ({ id }: { id: string }) => (id.startsWith("-") ? undefined : id.slice(0, 1));
    expect(await beginAtOnce({ orderingKey: orderingKey }, events)).toEqual(["a1", "b1", "-1", "-2"]);
  });

  test("are kept in order across deliveries by orderingKey alone, too", async () => {
    const receiver = receiverWith({ orderingKey: () => "one key" });
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

  test("who comes as one of two of its key has left still waits for the other", async () => {
    const receiver = receiverWith({ orderingKey: () => "one key" });
    const begun: string[] = [];
    const gates = new Map(["first", "second", "third"].map((id) => [id, gate()]));
    receiver.onAny(({ id }) => {
      begun.push(id);
      return gates.get(id)?.passed;
    });
    const deliver = (uuid: string) => receiver.handle(signed(submitted(uuid, uuid)));
    const replies = [deliver("first"), deliver("second")];
    await vi.advanceTimersByTimeAsync(0);
    gates.get("first")?.open();
    await vi.advanceTimersByTimeAsync(0);
    replies.push(deliver("third"));
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual(["first", "second"]);
    for (const { open } of gates.values()) open();
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(begun).toEqual(["first", "second", "third"]);
  });

  test("at most so many of a delivery's events run at once; as each ends, the next one begins", async () => {
    const receiver = receiverWith({ concurrency: 2 });
    const begun: string[] = [];
    const ids = ["a", "b", "c", "d", "e"];
    const gates = new Map(ids.map((id) => [id, gate()]));
    receiver.onAny(({ id }) => {
      begun.push(id);
      return gates.get(id)?.passed;
    });
    const reply = receiver.handle(signed(...ids.map((uuid) => submitted(uuid, uuid))));
    for (const [ended, expected] of [
      [[], ["a", "b"]],
      [["b"], ["a", "b", "c"]],
      [["a", "c"], ids],
    ] as const) {
      for (const id of ended) gates.get(id)?.open();
      await vi.advanceTimersByTimeAsync(0);
      expect(begun).toEqual(expected);
    }
    for (const { open } of gates.values()) open();
    expect(contentOf(await reply)).toMatchObject({ handled: 5 });
  });

  test("orderingKey alone leaves the order of a delivery as it is", async () => {
    const receiver = receiverWith({ orderingKey: ({ id }) => id.slice(0, 1) });
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

  test("an orderingKey that throws costs INTERNAL_ERROR; nothing has run, and nothing is left behind", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    let broken = true;
    const receiver = receiverWith({
      concurrency: 16,
      claims: store,
      orderingKey({ id }) {
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

  test.each<[string, unknown]>([
    ["a number", 7],
    ["null", null],
    ["a promise", Promise.resolve("key")],
  ])("an orderingKey that returns %s is a mistake, said in the log", async (_, key) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ orderingKey: () => key as string });
    const ran = vi.fn();
    receiver.onAny(ran);
    const reply = await receiver.handle(signed(submitted("x", "x")));
    expect([reply.status, contentOf(reply).code]).toEqual([500, "INTERNAL_ERROR"]);
    expect(log.mock.calls.join()).toContain(
      "orderingKey: failed, or returned neither a string nor undefined",
    );
    expect(ran).not.toHaveBeenCalled();
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

  test("events that wait for those of another delivery take no place from those that can run", async () => {
    const receiver = receiverWith({ concurrency: 2, orderingKey: () => undefined });
    const { passed, open } = gate();
    const begun: string[] = [];
    receiver.onAny(({ id }) => {
      begun.push(id);
      return id === "new" ? undefined : passed;
    });
    const [x, y, z] = ["x", "y", "new"].map((uuid) => submitted(uuid, uuid));
    const replies = [
      [x, y],
      [x, y, z],
    ].map((events) => receiver.handle(signed(...(events as object[]))));
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual(["x", "y", "new"]);
    open();
    expect((await Promise.all(replies)).map(contentOf)).toMatchObject([
      { handled: 2 },
      { handled: 1, duplicate: 2 },
    ]);
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

  test("is nothing: 200 keys of 100 kB have come and gone, and memory is as it was", async () => {
    const receiver = receiverWith({
      concurrency: 4,
      claims: memoryClaims({ max: 1 }),
      orderingKey: ({ id }) => id.padEnd(100_000),
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
    for (let i = 0; i < 2; i++) await deliver();
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 20; i++) await deliver();
    gc();
    // If the lanes remembered their keys, that were 20 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * 1024 * 1024);
  });
});
