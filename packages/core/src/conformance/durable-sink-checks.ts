import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { ReceivedEvent } from "../event.js";
import { toloka } from "../providers/toloka/index.js";
import { createReceiver } from "../receiver.js";
import { signToloka, tolokaEvent } from "../testing.js";
import {
  DEEP,
  type DurableSinksUnderTest,
  deepJson,
  eventFrom,
  idsOf,
  innermost,
  NO_CONTEXT,
  SECRET,
  setUp,
  until,
} from "./durable-sinks-under-test.js";

export type { DurableSinksUnderTest } from "./durable-sinks-under-test.js";

/**
 * The requirements for every `DurableSink`, for any test runner. `check` rejects if the sink does not meet
 * the requirement. Run the checks one after another. They may share one store.
 */
export const durableSinkChecks: readonly {
  readonly name: string;
  check(underTest: DurableSinksUnderTest): Promise<void>;
}[] = [
  {
    name: "a worker handles every stored event unchanged",
    async check({ open }) {
      const { deliver, worker, close } = setUp(open);
      const odd = { text: "\u0000 \ud800 \ud83d\ude00", nested: { list: [1, 1e300, null, [true]] } };
      const uuid = `${randomUUID()} \u0000 \ud800`;
      const known = tolokaEvent("ASSIGNMENT_SUBMITTED", {
        ...odd,
        uuid,
        event_time: "2020-02-14T12:22:58.123",
      });
      const ofNewType = { ...tolokaEvent("POOL_CLOSED"), type: "POOL_FROZEN" };
      const invalid = { ...tolokaEvent("POOL_CLOSED"), close_reason: 7 };
      assert.equal(await deliver(known, ofNewType, invalid), 200);
      const handled = await worker().handles(3);
      const of = (uuid: unknown) => handled.find(({ event }) => event.id === uuid)?.event;
      assert.deepEqual(of(known.uuid), {
        provider: "toloka",
        type: "ASSIGNMENT_SUBMITTED",
        id: known.uuid,
        occurredAt: new Date("2020-02-14T12:22:58.123Z"),
        data: known,
      });
      assert.deepEqual(of(ofNewType.uuid)?.problems, []);
      assert.equal(of(invalid.uuid)?.problems?.length, 1);
      await close();
    },
  },
  {
    name: "the queue ignores an event that waits or was handled",
    async check({ open }) {
      const { deliver, worker, close } = setUp(open);
      const event = tolokaEvent("POOL_CLOSED");
      assert.equal(await deliver(event), 200);
      assert.equal(await deliver(event, event), 200);
      const { handles, handled } = worker();
      await handles(1);
      const last = tolokaEvent("POOL_CLOSED");
      assert.equal(await deliver(event), 200);
      assert.equal(await deliver(last), 200);
      await handles(2);
      assert.deepEqual(idsOf(handled), [event.uuid, last.uuid].sort());
      await close();
    },
  },
  {
    name: "a worker handles a deeply nested event unchanged, and the other events of its delivery",
    async check({ open }) {
      const { sink, worker, close } = setUp(open);
      const [before, deep, after] = [1, 2, 3].map(() => tolokaEvent("POOL_CLOSED"));
      const body = JSON.stringify({ events: [before, { ...deep, extra: "DEEP" }, after] });
      const receiver = createReceiver(toloka, { secret: SECRET, sink });
      const reply = await receiver.handle(
        signToloka({ secret: SECRET, body: body.replace('"DEEP"', deepJson) }),
      );
      assert.equal(reply.status, 200);
      const handled = await worker().handles(3);
      assert.deepEqual(idsOf(handled), [before?.uuid, deep?.uuid, after?.uuid].sort());
      const found = handled.find(({ event }) => event.id === deep?.uuid);
      const { extra, ...data } = { ...found?.event.data } as { extra?: unknown };
      assert.deepEqual(data, deep);
      assert.deepEqual(innermost(extra), ["deep", DEEP]);
      await close();
    },
  },
  {
    name: "an event that JSON cannot represent is kept with its problem, and its delivery's other events are stored",
    async check({ open }) {
      const { sink, worker, close } = setUp(open);
      const event = tolokaEvent("POOL_CLOSED");
      const bad = { ...eventFrom(tolokaEvent("POOL_CLOSED")), data: { big: 1n } } as ReceivedEvent;
      await sink.accept([bad, eventFrom(event)], NO_CONTEXT);
      const { handled } = worker(1, ({ problems }) => {
        if (problems) throw new Error("it has no data");
      });
      const [failed] = await until("a failed event", async () => {
        const all = await sink.failed();
        return all.length > 0 && all;
      });
      assert.equal(failed?.event.id, bad.id);
      assert.equal(failed?.event.type, bad.type);
      assert.deepEqual(failed?.event.occurredAt, bad.occurredAt);
      assert.match(String(failed?.event.problems), /^JSON cannot represent the event: TypeError: /);
      await until("the other event", async () => handled.some(({ event: { id } }) => id === event.uuid));
      // Handled now, so that later checks find no failed event.
      assert.equal(await sink.replay(failed?.id ?? ""), true);
      await close();
      const last = setUp(open);
      await last.worker().handles(1);
      await last.close();
    },
  },
  {
    name: "a failing event is retried until its attempts are used up, then kept as failed until it is replayed",
    async check({ open }) {
      const { sink, deliver, worker, close } = setUp(open);
      const poison = tolokaEvent("POOL_CLOSED");
      const sibling = tolokaEvent("ASSIGNMENT_SUBMITTED");
      const id = `toloka:${String(poison.uuid)}`;
      let broken = true;
      const { handles, handled } = worker(1, (event) => {
        if (broken && event.id === poison.uuid) throw new RangeError("it is broken");
      });
      assert.equal(await sink.replay(id), false);
      assert.equal(await deliver(poison, sibling), 200);
      await handles(4);
      const failed = await until("a failed event", async () => {
        const all = await sink.failed();
        return all.length > 0 && all;
      });
      assert.deepEqual(
        failed.map(({ id, error, attempts, event }) => ({ id, error, attempts, event: event.id })),
        [{ id, error: "RangeError: it is broken", attempts: 3, event: poison.uuid }],
      );
      assert.ok(Math.abs(Date.now() - Number(failed[0]?.failedAt)) < 60_000);
      const attempts = () =>
        handled.filter(({ event }) => event.id === poison.uuid).map(({ context }) => context.attempt);
      assert.deepEqual(attempts(), [1, 2, 3]);
      // The queue remembers the failed event, so it ignores a redelivery.
      assert.equal(await deliver(poison), 200);
      assert.equal((await sink.failed()).length, 1);
      assert.equal(await sink.replay(`${id}0`), false);
      broken = false;
      assert.equal(await sink.replay(id), true);
      await handles(5);
      assert.deepEqual(attempts(), [1, 2, 3, 1]);
      assert.deepEqual(await sink.failed(), []);
      assert.equal(await sink.replay(id), false);
      await close();
    },
  },
  {
    name: "the queue stores a fact once, whether a webhook or recovery reports it, and replays it",
    async check({ open }) {
      const { sink, worker, close } = setUp(open);
      const of = (uuid: string, occurrence: string) => ({
        ...eventFrom(tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid })),
        occurrence,
      });
      const fact = `ASSIGNMENT_SUBMITTED:${randomUUID()}`;
      const [webhook, recovered] = [of(randomUUID(), fact), { ...of(randomUUID(), fact), recovered: true }];
      // Its id is the text of another event's occurrence.
      const lookalike = eventFrom(tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid: fact }));
      await sink.accept([webhook, lookalike], NO_CONTEXT);
      await sink.accept([recovered as ReceivedEvent], NO_CONTEXT);
      let broken = true;
      const { handled, handles } = worker(1, ({ id }) => {
        if (broken && id === webhook.id) throw new Error("it is broken");
      });
      const [failed] = await until("a failed event", async () => {
        const all = await sink.failed();
        return all.length > 0 && all;
      });
      assert.equal(failed?.event.occurrence, fact);
      await sink.accept([recovered as ReceivedEvent], NO_CONTEXT);
      assert.equal((await sink.failed()).length, 1);
      broken = false;
      assert.equal(await sink.replay(failed?.id ?? ""), true);
      await handles(5);
      assert.deepEqual(idsOf(handled), [lookalike.id, ...Array(4).fill(webhook.id)].sort());
      assert.deepEqual(await sink.failed(), []);
      await close();
    },
  },
  {
    name: "the sink, if it can, keeps the latest time recorded for a key, also for other processes",
    async check({ open }) {
      const [one, other] = [open(), open()];
      if (one.latestOccurrence && one.recordOccurrence && other.latestOccurrence) {
        const key = `toloka/${randomUUID()}`;
        assert.equal(await one.latestOccurrence(key), undefined);
        await one.recordOccurrence(key, 251_600_000_000_123);
        await one.recordOccurrence(key, 251_500_000_000_000);
        assert.equal(await other.latestOccurrence(key), 251_600_000_000_123);
        await one.recordOccurrence(key, 251_700_000_000_000);
        assert.equal(await other.latestOccurrence(key), 251_700_000_000_000);
        assert.equal(await other.latestOccurrence(`${key}2`), undefined);
        assert.deepEqual(await one.failed(), []);
      }
      await Promise.all([one.close(), other.close()]);
    },
  },
  {
    name: "one worker handles each event, and a worker handles at most `concurrency` events at a time",
    async check({ open }) {
      const { deliver, worker, close } = setUp(open);
      let atOnce = 0;
      let most = 0;
      const slow = async () => {
        most = Math.max(most, ++atOnce);
        await new Promise((resolve) => setTimeout(resolve, 5));
        atOnce--;
      };
      const events = Array.from({ length: 60 }, () => tolokaEvent("POOL_CLOSED"));
      assert.equal(await deliver(...events), 200);
      const workers = [worker(4, slow), worker(4, slow)];
      await until(
        "60 events",
        async () => workers.reduce((sum, { handled }) => sum + handled.length, 0) >= 60,
      );
      await close();
      const handled = workers.flatMap(({ handled }) => handled);
      assert.deepEqual(idsOf(handled), events.map(({ uuid }) => uuid).sort());
      assert.ok(most <= 8 && most > 1, `${most} events at a time`);
    },
  },
  {
    name: "close waits for running events and starts no more; another worker handles the rest",
    async check({ open }) {
      const { sink, deliver, worker, close } = setUp(open);
      let finish = () => {};
      const first = worker(1, () => new Promise<void>((resolve) => (finish = resolve)));
      assert.equal(await deliver(tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")), 200);
      await first.handles(1);
      let closed = false;
      const closing = first.sink.close().then(() => (closed = true));
      await sink.failed();
      assert.equal(closed, false);
      finish();
      await closing;
      assert.equal(first.handled.length, 1);
      const [last] = await worker().handles(1);
      assert.notEqual(last?.event.id, first.handled[0]?.event.id);
      await close();
    },
  },
  {
    name: "listeners get a signal and the number of the attempt, but no delivery",
    async check({ open }) {
      const { deliver, worker, close } = setUp(open);
      assert.equal(await deliver(tolokaEvent("POOL_CLOSED")), 200);
      const [handled] = await worker().handles(1);
      assert.equal(handled?.context.signal.aborted, false);
      assert.equal(handled?.context.attempt, 1);
      assert.throws(() => handled?.context.delivery, /in a sink's worker/);
      await close();
    },
  },
];
