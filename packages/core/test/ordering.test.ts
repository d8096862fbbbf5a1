import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import type { ClaimStore } from "../src/claiming/claim-store.js";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { ReceiverOptions } from "../src/options.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { tolokaEvent } from "../src/testing.js";
import {
  contentOf,
  deferred,
  NOW,
  never,
  prolificWith,
  receiverWith,
  SECRET,
  signed,
  signedStudy,
  submitted,
} from "./deliveries.js";
import { after, virtualTime } from "./virtual-time.js";

virtualTime();

describe("ordering keys", () => {
  /** Returns the ids of the events that start before any of them ends. */
  async function beginAtOnce(options: ReceiverOptions, events: readonly object[]) {
    const receiver = receiverWith({ concurrency: 100, ...options });
    const { passed, open } = deferred();
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

  test("an event's default ordering key is its assignment, else its task, else its pool", async () => {
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

  test("events run one after another when orderingKey returns the same key, and at once when it returns none", async () => {
    const events = ["a1", "a2", "b1", "-1", "-2"].map((uuid) => submitted(uuid, "the same"));
    const orderingKey = ({ id }: { id: string }) => (id.startsWith("-") ? undefined : id.slice(0, 1));
    expect(await beginAtOnce({ orderingKey }, events)).toEqual(["a1", "b1", "-1", "-2"]);
  });

  test("events of one key run in order across deliveries when concurrency is 1", async () => {
    const receiver = receiverWith({ orderingKey: () => "one key" });
    const { passed, open } = deferred();
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

  test("an event waits for all running events of its key when one of them ends", async () => {
    const receiver = receiverWith({ orderingKey: () => "one key" });
    const begun: string[] = [];
    const gates = new Map(["first", "second", "third"].map((id) => [id, deferred()]));
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

  test("a delivery runs as many events at once as concurrency allows, and starts the next when one ends", async () => {
    const receiver = receiverWith({ concurrency: 2 });
    const begun: string[] = [];
    const ids = ["a", "b", "c", "d", "e"];
    const gates = new Map(ids.map((id) => [id, deferred()]));
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

  test("a delivery keeps its order when orderingKey is set and concurrency is 1", async () => {
    const receiver = receiverWith({ orderingKey: ({ id }) => id.slice(0, 1) });
    const { passed, open } = deferred();
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

  test("an event fails alone when orderingKey throws for it, and its redelivery is handled", async () => {
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
    expect(reply.status).toBe(500);
    expect(contentOf(reply)).toMatchObject({ code: "EVENT_FAILED", handled: 2, failed: 1 });
    expect(ran).toEqual(["first", "third"]);
    expect(log.mock.calls.join()).toContain(
      'orderingKey: failed (RangeError) for event "second" of type "ASSIGNMENT_SUBMITTED".',
    );
    expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
    expect(store.claim("toloka:second", "another process", 0)).toBe("won");
    broken = false;
    expect(contentOf(await receiver.handle(delivery))).toMatchObject({ handled: 1, duplicate: 2 });
    expect(ran).toEqual(["first", "third", "second"]);
  });

  test.each<[string, unknown]>([
    ["a number", 7],
    ["null", null],
    ["a promise", Promise.resolve("key")],
  ])(
    "an event fails alone and the log names the mistake when orderingKey returns %s for it",
    async (_, key) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith({ orderingKey: ({ id }) => (id === "x" ? (key as string) : id) });
      const ran: string[] = [];
      receiver.onAny(({ id }) => ran.push(id));
      const reply = await receiver.handle(signed(submitted("x", "x"), submitted("y", "y")));
      expect(contentOf(reply)).toMatchObject({ code: "EVENT_FAILED", handled: 1, failed: 1 });
      expect(log.mock.calls.join()).toMatch(
        /orderingKey: returned neither a string nor undefined.* for event "x"/,
      );
      expect(ran).toEqual(["y"]);
    },
  );

  test.each<[string, ReceiverOptions]>([
    ["concurrency", { concurrency: 4 }],
    ["detectStale", { detectStale: true }],
  ])("an event fails alone when subjectOf of the provider throws for it, with %s", async (_, options) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const provider: typeof toloka = {
      ...toloka,
      subjectOf(event) {
        if (event.id === "x") throw new RangeError("hunter2");
        return toloka.subjectOf(event);
      },
    };
    const receiver = createReceiver(provider, { secret: SECRET, clock: () => NOW, ...options });
    const ran: string[] = [];
    receiver.onAny(({ id }) => ran.push(id));
    const delivery = signed(...["w", "x", "y"].map((uuid) => submitted(uuid, uuid)));
    expect(contentOf(await receiver.handle(delivery))).toMatchObject({
      code: "EVENT_FAILED",
      handled: 2,
      failed: 1,
    });
    expect(ran).toEqual(["w", "y"]);
    expect(log.mock.calls.join()).toContain('subjectOf: failed (RangeError) for event "x"');
  });

  test("a failed event lets the next events of its key run, and runs again when it is redelivered", async () => {
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

  test("a hanging listener blocks its own key until the timeout, and no other key", async () => {
    const receiver = receiverWith({ concurrency: 16, timeout: 5 });
    const ended: string[] = [];
    receiver.onError(() => {});
    receiver.onAny(({ id }) => (id === "hangs" ? never() : void ended.push(id)));
    const hanging = receiver.handle(signed(submitted("hangs", "x"), submitted("free", "y")));
    const behind = receiver.handle(signed(submitted("behind", "x")));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(ended).toEqual(["free"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(contentOf(await hanging)).toMatchObject({ handled: 1, failed: 1 });
    expect(contentOf(await behind)).toMatchObject({ handled: 1 });
  });
});

describe("claims and ordering keys", () => {
  test("an event is busy at once when another process holds it, and blocks no event of its key", async () => {
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

  test("duplicates that wait for another delivery do not count towards concurrency", async () => {
    const receiver = receiverWith({ concurrency: 2, orderingKey: () => undefined });
    const { passed, open } = deferred();
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

  test("an event without a claim blocks its key for 3 seconds and does not run", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const store = memoryClaims();
    const claims: ClaimStore = {
      ...store,
      claim: (key, ...rest) => (key === "toloka:x" ? never() : store.claim(key, ...rest)),
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

  test("an event does not run when it lost its claim while it waited for its key, and the next event runs", async () => {
    const store = memoryClaims();
    const receiver = receiverWith({ concurrency: 16, claims: store });
    const { passed, open } = deferred();
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

  describe("with signature claims", () => {
    test("a redelivery runs first when its signature is claimed first, and the first delivery shares its outcome", async () => {
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
      const receiver = prolificWith({ concurrency: 4, claims });
      const ran: string[] = [];
      receiver.onAny(({ id }) => ran.push(id));
      const first = receiver.handle(signedStudy("one study", "id"));
      const second = receiver.handle(signedStudy("one study", "id", 60));
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

describe("memory", () => {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");

  test("the receiver frees ordering keys when their events have ended", async () => {
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
      // Each event twice, so that the second one waits for the first.
      const delivery = signed(...events, ...events);
      return Promise.all([receiver.handle(delivery), receiver.handle(delivery)]);
    };
    for (let i = 0; i < 2; i++) await deliver();
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 20; i++) await deliver();
    gc();
    // The 200 keys of 100 kB would take 20 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * 1024 * 1024);
  });
});
