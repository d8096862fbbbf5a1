import { describe, expect, test } from "vitest";
import {
  createReceiver,
  type DeliveryRecord,
  memoryClaims,
  type ReceivedEvent,
  type ReceiverOptions,
  type Recovery,
} from "../src/index.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";

import { signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "s3cr3t";
const DAY_MS = 24 * 60 * 60 * 1000;

function setUp(options: Partial<ReceiverOptions> = {}) {
  const seen: ReceivedEvent[] = [];
  const receiver = createReceiver(toloka, { secret: SECRET, recoverable: true, ...options });
  receiver.onAny((event) => void seen.push(event));
  receiver.onUnrecognized((event) => void seen.push(event));
  return {
    receiver,
    seen,
    recovery: receiver.recovery as Recovery,
    deliver: async (...events: object[]) =>
      JSON.parse((await receiver.handle(signToloka({ secret: SECRET, events }))).body),
  };
}

const submitted = (uuid: string, assignment_id = "a-1") =>
  tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid, assignment_id });

describe("a recoverable receiver", () => {
  test("runs a recovered event, marks it, and takes a late webhook of the same fact for a duplicate", async () => {
    const { recovery, seen, deliver } = setUp();
    expect(await recovery.dispatch([{ body: { events: [submitted("derived")] } }])).toEqual([
      { id: "derived", type: "ASSIGNMENT_SUBMITTED", outcome: "handled" },
    ]);
    expect(await deliver(submitted("from the platform"))).toMatchObject({ duplicate: 1, handled: 0 });
    expect(seen.map(({ id, recovered }) => [id, recovered])).toEqual([["derived", true]]);
  });

  test("does not run an event that a webhook brought, however often it is recovered", async () => {
    const { recovery, seen, deliver } = setUp();
    expect(await deliver(submitted("from the platform"))).toMatchObject({ handled: 1 });
    for (let time = 0; time < 2; time++) {
      expect(await recovery.dispatch([{ body: { events: [submitted("derived")] } }])).toMatchObject([
        { outcome: "duplicate" },
      ]);
    }
    expect(seen.map(({ recovered }) => recovered)).toEqual([undefined]);
  });

  test("keeps other transitions, other assignments and closings at other times apart", async () => {
    const { recovery, seen } = setUp();
    const closed = (event_time: string) => tolokaEvent("POOL_CLOSED", { event_time });
    const events = [
      submitted("1"),
      submitted("2", "a-2"),
      tolokaEvent("ASSIGNMENT_APPROVED", { assignment_id: "a-1" }),
      closed("2026-11-28T10:00:00"),
      closed("2026-11-28T10:00:00.250"),
      closed("2026-11-28T11:00:00"),
    ];
    await recovery.dispatch([{ body: { events } }]);
    expect(seen).toHaveLength(5);
  });

  test("lets an event that failed be recovered again", async () => {
    const { receiver, recovery } = setUp();
    let broken = true;
    receiver.on("ASSIGNMENT_SUBMITTED", () => {
      if (broken) throw new Error("the database is down");
    });
    receiver.onError(() => {});
    const outcome = async () =>
      (await recovery.dispatch([{ body: { events: [submitted("derived")] } }]))[0]?.outcome;
    expect(await outcome()).toBe("failed");
    broken = false;
    expect(await outcome()).toBe("handled");
    expect(await outcome()).toBe("duplicate");
  });

  test("remembers handled events for as long as recovery reaches back", async () => {
    let now = Date.parse("2026-11-28T10:00:00Z");
    const { recovery, deliver } = setUp({ clock: () => now, tolerance: Number.MAX_SAFE_INTEGER });
    await deliver(submitted("from the platform"));
    now += recovery.reach - 1;
    expect(await recovery.dispatch([{ body: { events: [submitted("derived")] } }])).toMatchObject([
      { outcome: "duplicate" },
    ]);
    expect(recovery.reach).toBe(7 * DAY_MS);
  });

  test("gives a sink the events of several envelopes at once, and none if one of them is unreadable", async () => {
    const accepted: number[] = [];
    const { recovery } = setUp({ sink: { accept: (events) => void accepted.push(events.length) } });
    const envelopes = [1, 2, 3].map((id) => ({ body: { events: [submitted(`${id}`, `a-${id}`)] } }));
    expect(await recovery.dispatch(envelopes)).toMatchObject([{ id: "1" }, { id: "2" }, { id: "3" }]);
    expect(accepted).toEqual([3]);
    await expect(recovery.dispatch([...envelopes, { body: {} }])).rejects.toThrow(TypeError);
    expect(accepted).toEqual([3]);
  });

  test("gives a sink the same occurrence for the webhook and for the recovered event", async () => {
    const accepted: ReceivedEvent[] = [];
    const sink = { accept: (events: readonly ReceivedEvent[]) => void accepted.push(...events) };
    await setUp({ sink }).deliver(submitted("from the platform"));
    await setUp({ sink }).recovery.dispatch([{ body: { events: [submitted("derived")] } }]);
    expect(accepted.map(({ occurrence, recovered }) => [occurrence, recovered])).toEqual([
      ["ASSIGNMENT_SUBMITTED:a-1", undefined],
      ["ASSIGNMENT_SUBMITTED:a-1", true],
    ]);
  });

  test("claims an event whose provider cannot tell its occurrence by its id", async () => {
    const receiver = createReceiver(prolific, { secret: SECRET, recoverable: true });
    receiver.onAny(() => {});
    const headers = new Headers({ "x-event-id": "event-1", "x-timestamp": "1700000000" });
    const body = { event_type: "study.progress.change", resource_id: "study-1" };
    const recover = async () => (await receiver.recovery?.dispatch([{ body, headers }]))?.[0]?.outcome;
    expect([await recover(), await recover()]).toEqual(["handled", "duplicate"]);
  });

  test("records where events came from, and that a recovered event has no delivery", async () => {
    const records: DeliveryRecord[] = [];
    const { receiver, recovery, deliver } = setUp({ observe: (record) => void records.push(record) });
    let error: unknown;
    receiver.on("ASSIGNMENT_SUBMITTED", (event, context) => {
      if (event.recovered) {
        try {
          void context.delivery;
        } catch (caught) {
          error = caught;
        }
      }
    });
    await deliver(submitted("1"));
    await recovery.dispatch([{ body: { events: [submitted("2", "a-2")] } }]);
    expect(records.map(({ source, counts }) => [source, counts.handled])).toEqual([
      ["delivery", 1],
      ["recovery", 1],
    ]);
    expect(error).toBeInstanceOf(TypeError);
  });

  test.each([
    ["its own memory", undefined],
    ["a claim store", memoryClaims()],
  ])("knows from %s which events were handled, and asking changes nothing", async (_, claims) => {
    const { receiver, recovery, deliver } = setUp({ claims });
    receiver.on("ASSIGNMENT_APPROVED", () => {
      throw new Error("the database is down");
    });
    receiver.onError(() => {});
    await deliver(submitted("1"));
    await deliver(tolokaEvent("ASSIGNMENT_APPROVED", { assignment_id: "a-1" }));
    const isHandled = (occurrence: string) => recovery.isHandled({ id: "", occurrence });
    expect(await isHandled("ASSIGNMENT_SUBMITTED:a-1")).toBe(true);
    expect(await isHandled("ASSIGNMENT_APPROVED:a-1")).toBe(false);
    expect(await isHandled("ASSIGNMENT_SUBMITTED:a-2")).toBe(false);
    // Its id is not its occurrence.
    expect(await recovery.isHandled({ id: "1" })).toBe(false);
    expect(await deliver(submitted("2", "a-2"))).toMatchObject({ handled: 1, busy: 0 });
  });

  test("keeps the latest checkpoint, and lets one process at a time recover", async () => {
    const claims = memoryClaims();
    const [one, other] = [setUp({ claims }), setUp({ claims })];
    expect(await one.recovery.checkpoint()).toBeUndefined();
    await one.recovery.saveCheckpoint(2_000);
    await other.recovery.saveCheckpoint(1_000);
    expect(await other.recovery.checkpoint()).toBe(2_000);
    const inside = await one.recovery.exclusively(() => other.recovery.exclusively(async () => "both"));
    expect(inside).toBeUndefined();
    expect(await other.recovery.exclusively(async () => "alone")).toBe("alone");
  });

  test("keeps the earliest time since when a receiver with its claims is recoverable", async () => {
    const claims = memoryClaims();
    const createdAt = (now: number) => setUp({ claims, clock: () => now });
    const [early, late] = [createdAt(5_000), createdAt(9_000)];
    expect(await late.recovery.recoverableSince()).toBe(9_000);
    expect(await early.recovery.recoverableSince()).toBe(5_000);
    expect(await late.recovery.recoverableSince()).toBe(5_000);
    // For longer than the receiver remembers events.
    const muchLater = createdAt(9_000 + 300 * DAY_MS);
    expect(await muchLater.recovery.recoverableSince()).toBe(5_000);
  });

  test("keeps that time at its first delivery, and at the next one if the store fails", async () => {
    const claims = memoryClaims();
    let broken = true;
    const failing = {
      ...claims,
      recordOccurrence(...args: [string, number, number]) {
        if (broken) throw new Error("the store is down");
        return claims.recordOccurrence(...args);
      },
    };
    let now = Date.now();
    const createdAt = now;
    const { deliver } = setUp({ claims: failing, clock: () => now, tolerance: 90_001 });
    now += DAY_MS;
    expect(await deliver(submitted("1"))).toMatchObject({ handled: 1 });
    const other = () => setUp({ claims: { ...claims, recordOccurrence: () => {} }, clock: () => now });
    expect(await other().recovery.recoverableSince()).toBe(now);
    broken = false;
    await deliver(submitted("2", "a-2"));
    expect(await other().recovery.recoverableSince()).toBe(createdAt);
  });

  test("is recoverable since its first use if the runtime's clock shows 0 before that", async () => {
    let now = 0;
    const { recovery } = setUp({ clock: () => now });
    now = 7_000;
    expect(await recovery.recoverableSince()).toBe(7_000);
  });

  test("is recoverable since now if the store has lost its claims", async () => {
    let claims = memoryClaims();
    const forgetful = Object.fromEntries(
      Object.keys(claims).map((name) => [name, (...args: never[]) => Reflect.get(claims, name)(...args)]),
    ) as typeof claims;
    let now = 5_000;
    const { recovery } = setUp({ claims: forgetful, clock: () => now });
    expect(await recovery.recoverableSince()).toBe(5_000);
    claims = memoryClaims();
    now = 8_000;
    expect(await recovery.recoverableSince()).toBe(8_000);
    now = 9_000;
    expect(await recovery.recoverableSince()).toBe(8_000);
  });

  test("keeps its times in a sink that can, if it has no claims", async () => {
    const { latestOccurrence, recordOccurrence } = memoryClaims();
    const sink = {
      accept() {},
      latestOccurrence,
      recordOccurrence: (key: string, time: number) => recordOccurrence(key, time, DAY_MS),
    };
    const one = setUp({ sink, clock: () => 5_000 });
    expect(await one.recovery.recoverableSince()).toBe(5_000);
    await one.recovery.saveCheckpoint(6_000);
    const restarted = setUp({ sink, clock: () => 9_000 });
    expect(await restarted.recovery.recoverableSince()).toBe(5_000);
    expect(await restarted.recovery.checkpoint()).toBe(6_000);
    expect(await setUp({ sink, claims: memoryClaims() }).recovery.checkpoint()).toBeUndefined();
  });

  test("refuses recovered events once it is closed, and a body that is not an envelope", async () => {
    const { receiver, recovery } = setUp();
    await expect(recovery.dispatch([{ body: [] }])).rejects.toThrow(TypeError);
    await receiver.close();
    await expect(recovery.dispatch([{ body: { events: [submitted("1")] } }])).rejects.toThrow(/closed/);
  });
});

test("a receiver without the option has no recovery, and claims an event by its id alone", async () => {
  const { receiver, seen, deliver } = setUp({ recoverable: false });
  expect(receiver.recovery).toBeUndefined();
  await deliver(submitted("1"), submitted("2"));
  expect(seen.map(({ occurrence }) => occurrence)).toEqual([undefined, undefined]);
});

test.each([[{}], [{ latestOccurrence: () => undefined }]])(
  "recoverable needs a claim store that remembers times, unlike one with %o",
  (methods) => {
    const claims = { claim: () => "won", settle: () => true, release() {}, ...methods } as never;
    expect(() => createReceiver(toloka, { secret: SECRET, recoverable: true, claims })).toThrow(
      "recoverable needs a claim store with the methods latestOccurrence and recordOccurrence.",
    );
  },
);
