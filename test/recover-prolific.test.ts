import type { ReceivedEvent } from "@crowdhook/core";
import { afterEach, expect, test } from "vitest";
import { clock, factsAt, factsOf, happenAtProlific, MINUTE_MS, startReceiver } from "./recovery-platforms.js";
import { PROLIFIC_URL, startApis } from "./subscriptions-clients.js";
import type { ListedEvent } from "./subscriptions-prolific-api.js";

const { prolificApi: api, prolificClient: client } = await startApis();

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function setUp() {
  const handled: ReceivedEvent[] = [];
  const { receiver, url, close } = await startReceiver("prolific", handled);
  closing.push(close);
  const subscription = api.add({ event_type: "study.status.change", target_url: PROLIFIC_URL });
  api.events.set(subscription, []);
  return {
    handled,
    receiver,
    url,
    subscription,
    /** Lets Prolific list an event that it did not deliver, or delivered under another id. */
    list(
      id: string,
      status: string,
      { minutesAgo = 5, ...fields }: Partial<ListedEvent> & { minutesAgo?: number } = {},
    ) {
      const resource_id = fields.resource_id ?? "study-1";
      const datetime_created = new Date(clock() - minutesAgo * MINUTE_MS).toISOString();
      api.events.get(subscription)?.push({
        id,
        datetime_created,
        datetime_updated: datetime_created,
        event_type: "study.status.change",
        resource_id,
        target_url: PROLIFIC_URL,
        status,
        payload: {
          event_type: "study.status.change",
          resource_id,
          status: "PAUSED",
          metadata: { b: 1, a: 2 },
        },
        ...fields,
      } as ListedEvent);
    },
  };
}

const idsOf = (events: readonly { id: string }[]) => events.map(({ id }) => id);

test("a recovered event has the listed id, the time of its creation and the content as sent", async () => {
  const { handled, receiver, list } = await setUp();
  list("event-1", "FAILED", { datetime_created: new Date(clock() - 5 * MINUTE_MS).toISOString() });
  await client().recover(receiver);
  const [event] = handled;
  expect(event).toMatchObject({
    provider: "prolific",
    type: "study.status.change",
    id: "event-1",
    recovered: true,
    data: { resource_id: "study-1", status: "PAUSED", metadata: { b: 1, a: 2 } },
  });
  expect(Math.abs(Number(event?.occurredAt) - (clock() - 5 * MINUTE_MS))).toBeLessThan(10_000);
});

test("events of enabled and disabled subscriptions are recovered, on all pages, in order of time", async () => {
  const { handled, receiver, list, subscription } = await setUp();
  for (const minutesAgo of [5, 9, 7, 3, 6]) {
    list(`${minutesAgo} minutes ago`, "FAILED", { minutesAgo, resource_id: `study-${minutesAgo}` });
  }
  Object.assign(api.subscriptions.get(subscription) ?? {}, { is_enabled: false });
  await client().recover(receiver);
  expect(idsOf(handled)).toEqual([9, 7, 6, 5, 3].map((minutes) => `${minutes} minutes ago`));
});

test("a time without an offset is UTC, and one with an offset is converted", async () => {
  const { handled, receiver, list } = await setUp();
  const utc = new Date(Math.floor(clock() / 1000) * 1000 - 5 * MINUTE_MS);
  const inKolkata = new Date(Number(utc) + 330 * MINUTE_MS).toISOString().replace("Z", "+05:30");
  list("naive", "FAILED", { datetime_created: utc.toISOString().slice(0, -1) });
  list("Kolkata", "FAILED", { datetime_created: inKolkata, resource_id: "study-2" });
  list("unreadable", "FAILED", { datetime_created: "yesterday" });
  const result = await client().recover(receiver);
  expect(handled.map(({ id, occurredAt }) => [id, occurredAt])).toEqual([
    ["naive", utc],
    ["Kolkata", utc],
  ]);
  expect(result.notes).toContain("Event unreadable has no readable datetime_created, so it was left out.");
});

test("events outside the window are left out", async () => {
  const { handled, receiver, list } = await setUp();
  list("just now", "FAILED", { minutesAgo: 0.5, resource_id: "study-2" });
  list("two days ago", "FAILED", { minutesAgo: 2 * 24 * 60 });
  expect(await client().recover(receiver)).toMatchObject({ found: 0 });
  await client().recover(receiver, { since: clock() - 3 * 24 * 60 * MINUTE_MS });
  expect(idsOf(handled)).toEqual(["two days ago"]);
});

test("an event without content is lost, and does not hold the others up", async () => {
  const { handled, receiver, list } = await setUp();
  list("empty", "FAILED", { payload: null });
  list("strange", "FAILED", { payload: ["no event"] });
  list("whole", "FAILED");
  const result = await client().recover(receiver);
  expect(idsOf(result.lost)).toEqual(["empty", "strange"]);
  expect(String(result)).toMatch(
    /^! .* study\.status\.change study-1 \(empty\): Prolific does not show its content$/m,
  );
  expect(idsOf(handled)).toEqual(["whole"]);
  expect(result.checkpoint).toEqual(result.until);
});

test("a pending event is recovered if the receiver knows a delivered event by its listed id", async () => {
  const { handled, receiver, url, subscription, list } = await setUp();
  await happenAtProlific(api, subscription, 10, url);
  list("pending", "PENDING");
  const before = handled.length;
  const result = await client().recover(receiver);
  expect(idsOf(handled.slice(before))).toContain("pending");
  expect(factsOf(handled)).toEqual(factsAt(api));
  expect(result).toMatchObject({ pending: 0, uncertain: [] });
});

test("if listed ids are not those of deliveries, an event that equals a delivered one is uncertain", async () => {
  const { handled, receiver, url, subscription, list } = await setUp();
  await happenAtProlific(api, subscription, 10, url, { idsDiffer: true });
  const before = handled.length;
  list("delivered", "SUCCEEDED", { minutesAgo: 60 });
  // Equal, although its fields have another order.
  list("equal", "FAILED", {
    payload: {
      status: "PAUSED",
      metadata: { a: 2, b: 1 },
      resource_id: "study-1",
      event_type: "study.status.change",
    },
  });
  list("other resource", "FAILED", { resource_id: "study-2" });
  list("pending", "PENDING", { resource_id: "study-3", minutesAgo: 7 });
  const result = await client().recover(receiver);
  expect(idsOf(result.uncertain)).toEqual(["equal"]);
  expect(idsOf(handled.slice(before))).toContain("other resource");
  expect(idsOf(handled)).not.toContain("pending");
  expect(result.pending).toBe(1);
  expect(result.notes.join()).toMatch(/No delivered event is known by the id that Prolific lists/);
  // Prolific may still give up the pending event, so the next recovery has to look at it again.
  expect(Number(result.checkpoint)).toBeLessThan(clock() - 6 * MINUTE_MS);
});

test("if Prolific does not show a delivered event's content, events of its type and resource are uncertain", async () => {
  const { handled, receiver, list } = await setUp();
  list("delivered", "SUCCEEDED", { payload: null });
  list("perhaps the same", "FAILED");
  list("other resource", "FAILED", { resource_id: "study-2" });
  const result = await client().recover(receiver);
  expect(idsOf(result.uncertain)).toEqual(["perhaps the same"]);
  expect(idsOf(handled)).toEqual(["other resource"]);
});

test("a study that was paused twice is recovered twice", async () => {
  const { handled, receiver, list } = await setUp();
  list("first", "FAILED", { minutesAgo: 6 });
  list("second", "FAILED", { minutesAgo: 5 });
  await client().recover(receiver);
  expect(idsOf(handled)).toEqual(["first", "second"]);
});
