import { describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { DeliveryRecord } from "../src/observing/trace.js";
import type { ReceiverOptions } from "../src/options.js";
import { tolokaEvent } from "../src/testing.js";
import {
  closed,
  contentOf,
  NOW,
  prolificWith,
  receiverWith,
  signed,
  signedStudy,
  submitted,
} from "./deliveries.js";
import { contentsOf, slowClaims, virtualTime } from "./virtual-time.js";

const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

virtualTime();

const logged = () => vi.spyOn(console, "error").mockImplementation(() => {});
const unknown = (uuid: string, type = "NEW") => ({ ...closed(uuid), type });

describe("an event that no listener takes", () => {
  const options: [string, () => ReceiverOptions][] = [
    ["the default options", () => ({})],
    ["a claim store", () => ({ claims: memoryClaims() })],
    ["concurrency", () => ({ concurrency: 16 })],
    ["a timeout", () => ({ timeout: 5 })],
    ["detectStale", () => ({ detectStale: true })],
    [
      "instrumentation",
      () => ({ instrumentation: { delivery: (_, run) => run(), event: (_, run) => run() } }),
    ],
  ];
  const types: [string, (uuid: string) => object, keyof typeof NOTHING][] = [
    ["known", closed, "handled"],
    ["unknown", unknown, "unrecognized"],
  ];

  test.each(options.flatMap(([name, make]) => types.map((type) => [type[0], name, make, ...type] as const)))(
    "an event of a %s type is ignored with %s, and a redelivery runs once a listener is added",
    async (_type, _name, make, _, eventOf, outcome) => {
      logged();
      const receiver = receiverWith(make());
      const delivery = signed(eventOf("x"));
      for (let i = 0; i < 3; i++) {
        const reply = await receiver.handle(delivery);
        expect([reply.status, contentOf(reply)]).toEqual([200, { ...NOTHING, ignored: 1 }]);
      }
      const ran = vi.fn();
      const off = receiver.onAny(ran);
      expect(contentOf(await receiver.handle(delivery))).toEqual({ ...NOTHING, [outcome]: 1 });
      expect(contentOf(await receiver.handle(delivery))).toEqual({ ...NOTHING, duplicate: 1 });
      off();
      // A handled event stays a duplicate. A new event is ignored again.
      expect(contentOf(await receiver.handle(delivery))).toEqual({ ...NOTHING, duplicate: 1 });
      expect(contentOf(await receiver.handle(signed(eventOf("y"))))).toEqual({ ...NOTHING, ignored: 1 });
      expect(ran).toHaveBeenCalledOnce();
    },
  );

  test("an event is ignored when only listeners of other events are registered", async () => {
    logged();
    const receiver = receiverWith();
    receiver.onError(() => {});
    const others = vi.fn();
    receiver.on("TEST_EVENT", others);
    expect(contentOf(await receiver.handle(signed(unknown("a"))))).toEqual({ ...NOTHING, ignored: 1 });
    receiver.onUnrecognized(others);
    expect(contentOf(await receiver.handle(signed(closed("b"))))).toEqual({ ...NOTHING, ignored: 1 });
    expect(others).not.toHaveBeenCalled();
    expect(contentOf(await receiver.handle(signed(unknown("a"))))).toEqual({ ...NOTHING, unrecognized: 1 });
  });

  test("an invalid event of a known type fails and is not ignored when no listener is registered", async () => {
    const log = logged();
    const receiver = receiverWith();
    const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED", { close_reason: 7 })));
    expect([reply.status, contentOf(reply)]).toEqual([
      500,
      { ...NOTHING, code: "EVENT_FAILED", message: expect.any(String), failed: 1 },
    ]);
    expect(log.mock.calls.join()).not.toContain("IGNORED");
  });

  test("the reply counts ignored events beside handled and failed ones", async () => {
    logged();
    const receiver = receiverWith();
    receiver.on("ASSIGNMENT_SUBMITTED", ({ id }) => id === "bad" && Promise.reject(new Error("broken")));
    const fine = await receiver.handle(signed(closed("a"), submitted("b", "b"), unknown("c")));
    expect([fine.status, contentOf(fine)]).toEqual([200, { ...NOTHING, handled: 1, ignored: 2 }]);
    const failed = await receiver.handle(signed(closed("d"), submitted("bad", "b")));
    expect([failed.status, contentOf(failed)]).toMatchObject([500, { failed: 1, ignored: 1, handled: 0 }]);
  });

  test("the record has the outcome ignored, no code and no reason", async () => {
    logged();
    const records: DeliveryRecord[] = [];
    const receiver = receiverWith({ observe: (record) => records.push(record) });
    await receiver.handle(signed(closed("x")));
    expect(records).toMatchObject([
      {
        status: 200,
        code: undefined,
        reason: undefined,
        counts: { ...NOTHING, ignored: 1 },
        events: [{ id: "x", type: "POOL_CLOSED", outcome: "ignored" }],
      },
    ]);
  });

  test("no event is ignored with a sink, which takes events without a listener", async () => {
    const log = logged();
    const accept = vi.fn();
    const receiver = receiverWith({ sink: { accept } });
    expect(contentOf(await receiver.handle(signed(closed("x"), unknown("y"))))).toEqual({
      ...NOTHING,
      handled: 2,
    });
    expect(accept).toHaveBeenCalledOnce();
    expect(log).not.toHaveBeenCalled();
  });

  test("receiver.dispatch resolves and the log warns when no listener takes the worker's event", async () => {
    const log = logged();
    const receiver = receiverWith({ sink: { accept() {} } });
    const event = { provider: "toloka", type: "NEW", id: "x", occurredAt: undefined, data: {}, problems: [] };
    await receiver.dispatch(event, { signal: new AbortController().signal });
    expect(log.mock.calls.join()).toMatch(/IGNORED: no listener takes events of type "NEW"/);
  });
});

describe("the claim of an ignored event", () => {
  test("concurrent duplicates are all ignored, and leave nothing behind", async () => {
    logged();
    for (const claims of [undefined, memoryClaims(), slowClaims(() => 20)]) {
      const receiver = receiverWith({ claims });
      const delivery = signed(closed("x"), closed("x"));
      const copies = Array.from({ length: 5 }, () => receiver.handle(delivery));
      for (const content of await contentsOf(...copies)) expect(content).toEqual({ ...NOTHING, ignored: 2 });
      const ran = vi.fn();
      receiver.onAny(ran);
      expect(await contentsOf(receiver.handle(delivery))).toEqual([{ ...NOTHING, handled: 1, duplicate: 1 }]);
      expect(ran).toHaveBeenCalledOnce();
    }
  });

  test("the receiver releases the claim under its owner and settles nothing, so that another receiver handles the event", async () => {
    logged();
    const store = memoryClaims();
    const claims = {
      ...store,
      claim: vi.fn(store.claim),
      settle: vi.fn(store.settle),
      release: vi.fn(store.release),
      recordOccurrence: vi.fn(store.recordOccurrence),
    };
    const deaf = receiverWith({ claims, detectStale: true });
    expect(contentOf(await deaf.handle(signed(closed("x"))))).toEqual({ ...NOTHING, ignored: 1 });
    expect(claims.release.mock.calls).toEqual([["toloka:x", claims.claim.mock.lastCall?.[1]]]);
    expect(claims.settle).not.toHaveBeenCalled();
    expect(claims.recordOccurrence).not.toHaveBeenCalled();
    const listening = receiverWith({ claims });
    listening.onAny(() => {});
    expect(contentOf(await listening.handle(signed(closed("x"))))).toEqual({ ...NOTHING, handled: 1 });
    expect(contentOf(await deaf.handle(signed(closed("x"))))).toEqual({ ...NOTHING, duplicate: 1 });
  });

  test("the reply stays 200 when the store fails to release the claim", async () => {
    logged();
    const release = () => Promise.reject(new Error("broken"));
    const receiver = receiverWith({ claims: { ...memoryClaims(), release } });
    const reply = await receiver.handle(signed(closed("x")));
    expect([reply.status, contentOf(reply)]).toEqual([200, { ...NOTHING, ignored: 1 }]);
  });

  test("an ignored event makes no earlier event stale", async () => {
    logged();
    const receiver = receiverWith({ detectStale: true });
    const at = (event_time: string) => signed(tolokaEvent("POOL_CLOSED", { event_time }));
    await receiver.handle(at("2020-01-01T00:00:10"));
    const stale: boolean[] = [];
    receiver.onAny((_, context) => stale.push(context.stale));
    await receiver.handle(at("2020-01-01T00:00:00"));
    expect(stale).toEqual([false]);
  });

  test("Prolific's replay guard lets a redelivery under the same id run, and refuses the request under another id", async () => {
    logged();
    for (const claims of [undefined, memoryClaims(), slowClaims(() => 20)]) {
      const receiver = prolificWith({ claims });
      const first = signedStudy("one", "id-1");
      const forged = { ...first, headers: { ...first.headers, "x-event-id": "forged" } };
      expect(await contentsOf(receiver.handle(first))).toEqual([{ ...NOTHING, ignored: 1 }]);
      const ran: string[] = [];
      receiver.onAny(({ id }) => ran.push(id));
      expect(await contentsOf(receiver.handle(forged))).toMatchObject([{ code: "EVENT_BUSY", busy: 1 }]);
      expect(await contentsOf(receiver.handle(first))).toEqual([{ ...NOTHING, handled: 1 }]);
      expect(await contentsOf(receiver.handle(forged))).toEqual([{ ...NOTHING, duplicate: 1 }]);
      expect(ran).toEqual(["id-1"]);
    }
  });

  test("a redelivery of an ignored Prolific event runs when it has a signature of its own", async () => {
    logged();
    const receiver = prolificWith();
    expect(await contentsOf(receiver.handle(signedStudy("one", "id-1")))).toEqual([
      { ...NOTHING, ignored: 1 },
    ]);
    const ran = vi.fn();
    receiver.onAny(ran);
    expect(await contentsOf(receiver.handle(signedStudy("one", "id-1", 60)))).toEqual([
      { ...NOTHING, handled: 1 },
    ]);
    expect(ran).toHaveBeenCalledOnce();
  });
});

describe("the warning about ignored events", () => {
  const IGNORED = /^crowdhook: toloka: IGNORED: no listener takes events of type "(.*?)"/;
  const typesIn = (log: ReturnType<typeof logged>) =>
    log.mock.calls.map(([line]) => IGNORED.exec(line as string)?.[1]);

  test("the log warns once for each type, with its name, and never again", async () => {
    const log = logged();
    const receiver = receiverWith();
    for (let i = 0; i < 3; i++) {
      // All events of one delivery are logged in the same minute.
      await receiver.handle(signed(closed(`a${i}`), unknown(`b${i}`), submitted(`c${i}`, "c")));
      vi.setSystemTime(NOW + (i + 1) * 3_600_000);
    }
    expect(typesIn(log)).toEqual(["POOL_CLOSED", "NEW", "ASSIGNMENT_SUBMITTED"]);
    await receiverWith().handle(signed(closed("d")));
    expect(typesIn(log)).toHaveLength(4);
  });

  test("the log names the ways to take the event or to stop it", async () => {
    const log = logged();
    await receiverWith().handle(signed(closed("x")));
    expect(log.mock.calls.join()).toMatch(/on\("POOL_CLOSED", .*onAny.*subscription/);
  });

  test("the log does not warn when a listener takes the event", async () => {
    const log = logged();
    const receiver = receiverWith();
    receiver.onAny(() => {});
    await receiver.handle(signed(closed("x"), unknown("y")));
    expect(log).not.toHaveBeenCalled();
  });

  test("a sender cannot flood the log or forge a line with invented types", async () => {
    const log = logged();
    const receiver = receiverWith();
    const invented = Array.from({ length: 1_000 }, (_, i) => unknown(`${i}`, `${i}\nFAKE \u001b[2J`));
    const reply = await receiver.handle(signed(...invented, unknown("long", "y".repeat(9_999))));
    expect(contentOf(reply)).toEqual({ ...NOTHING, ignored: 1_001 });
    expect(log.mock.calls.length).toBeLessThanOrEqual(100);
    for (const [line] of log.mock.calls) {
      expect(line).toMatch(IGNORED);
      expect(line).not.toMatch(/\p{Cc}/u);
      expect((line as string).length).toBeLessThan(500);
    }
  });
});
