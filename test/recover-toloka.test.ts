import type { ReceivedEvent } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { afterEach, describe, expect, test } from "vitest";
import { clock, factsOf, MINUTE_MS, SECRET, startReceiver } from "./recovery-platforms.js";
import { startApis, TOLOKA_URL } from "./subscriptions-clients.js";

const { tolokaApi: api, tolokaClient: client } = await startApis();

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const at = (milliseconds: number) => new Date(milliseconds).toISOString().slice(0, -1);
const NOW = Math.floor(clock() / 1000) * 1000;
const minutesAgo = (minutes: number) => at(NOW - minutes * MINUTE_MS);

async function setUp(...types: string[]) {
  const handled: ReceivedEvent[] = [];
  const { receiver, url, webhook, close } = await startReceiver("toloka", handled);
  closing.push(close);
  api.pools.set("7", { id: "7", project_id: "project-1", status: "OPEN" });
  const ids = types.map((event_type) => api.add({ webhook_url: TOLOKA_URL, event_type, pool_id: "7" }));
  return {
    handled,
    receiver,
    webhook,
    subscription: ids[0],
    add: (id: string, times: Record<string, string>) =>
      void api.assignments.push({
        id,
        pool_id: "7",
        task_suite_id: `suite-of-${id}`,
        status: "ACCEPTED",
        ...times,
      }),
    async deliver(...events: object[]) {
      const { method, headers, body } = signToloka({ secret: SECRET, timestamp: clock(), events });
      expect((await fetch(url, { method, headers, body })).status).toBe(200);
    },
  };
}

test("a recovered event has the fields of a delivered one, and the same id each time", async () => {
  const { handled, receiver, subscription, add } = await setUp("ASSIGNMENT_APPROVED");
  const accepted = minutesAgo(5);
  add("a-1", { created: minutesAgo(9), submitted: minutesAgo(8), rejected: minutesAgo(7), accepted });
  const { events } = await client().recover(receiver, { dryRun: true });
  await client().recover(receiver);
  expect(handled).toHaveLength(1);
  expect(handled[0]).toMatchObject({
    type: "ASSIGNMENT_APPROVED",
    id: events[0]?.id,
    recovered: true,
    occurredAt: new Date(`${accepted}Z`),
    data: {
      uuid: events[0]?.id,
      event_time: accepted,
      project_id: "project-1",
      pool_id: "7",
      webhook_subscription_id: subscription,
      task_suite_id: "suite-of-a-1",
      assignment_id: "a-1",
    },
  });
  expect(events[0]?.id).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
});

test("each transition is an event of its own, and only of the subscribed types, in order of time", async () => {
  const types = ["CREATED", "SUBMITTED", "APPROVED", "REJECTED", "SKIPPED", "EXPIRED"].map(
    (type) => `ASSIGNMENT_${type}`,
  );
  const { handled, receiver, add } = await setUp(...types);
  add("a-1", {
    created: minutesAgo(9),
    submitted: minutesAgo(7),
    rejected: minutesAgo(5),
    accepted: minutesAgo(3),
  });
  add("a-2", { created: minutesAgo(8), skipped: minutesAgo(6) });
  add("a-3", { created: minutesAgo(8.5), expired: minutesAgo(4) });
  await client().recover(receiver);
  expect(handled.map(({ type, data }) => `${type} ${Object(data).assignment_id}`)).toEqual([
    "ASSIGNMENT_CREATED a-1",
    "ASSIGNMENT_CREATED a-3",
    "ASSIGNMENT_CREATED a-2",
    "ASSIGNMENT_SUBMITTED a-1",
    "ASSIGNMENT_SKIPPED a-2",
    "ASSIGNMENT_REJECTED a-1",
    "ASSIGNMENT_EXPIRED a-3",
    "ASSIGNMENT_APPROVED a-1",
  ]);
});

describe.each([
  ["pages of 3", 3],
  ["pages of 1", 1],
  ["pages of 1,000", 1_000],
])("%s", (_, pageSize) => {
  test("assignments that share a time are neither skipped nor repeated", async () => {
    const { handled, receiver, add } = await setUp("ASSIGNMENT_SUBMITTED");
    api.pageSize = pageSize;
    // One alone, ten at one time, pairs, and fractions of a millisecond.
    const times = [8, ...Array(10).fill(7), 6, 6, 5, 5, 4].map(minutesAgo);
    const fractions = ["1", "2", "2", "2", "2", "9"].map((digit) => `${minutesAgo(3)}${digit}`);
    for (const [index, submitted] of [...times, ...fractions].entries()) {
      add(`a-${String(index).padStart(3, "0")}`, { submitted });
    }
    const result = await client().recover(receiver);
    expect(result.found).toBe(times.length + fractions.length);
    expect(new Set(factsOf(handled)).size).toBe(times.length + fractions.length);
  });
});

test.each<[string, (items: Record<string, string>[]) => object, RegExp]>([
  ["has no items but more to come", () => ({ items: [], has_more: true }), /has_more: expected false/],
  ["is not an object", () => ["a-1"], /the body: expected object/],
  [
    "has an assignment of another pool",
    (items) => ({ items: [{ ...items[0], pool_id: "8" }], has_more: false }),
    /items\.0\.pool_id: expected the pool/,
  ],
  [
    "has an assignment without the transition",
    ([{ submitted: _, ...rest } = {}]) => ({ items: [rest], has_more: false }),
    /items\.0\.submitted: expected a time in the range/,
  ],
  [
    "has an assignment from before the window",
    (items) => ({ items: [{ ...items[0], submitted: minutesAgo(600) }], has_more: false }),
    /items\.0\.submitted: expected a time in the range/,
  ],
  [
    "is not in order",
    (items) => ({ items: [...items].reverse(), has_more: false }),
    /items\.1\.submitted: expected items in order/,
  ],
])("recovery runs nothing if a page %s", async (_, bodyFor, problem) => {
  const { handled, receiver, add } = await setUp("ASSIGNMENT_SUBMITTED");
  add("a-1", { submitted: minutesAgo(6) });
  add("a-2", { submitted: minutesAgo(5) });
  const [view] = [...api.subscriptions.values()];
  api.nextHandlers.push(
    () => ({ status: 200, body: { items: [view], has_more: false } }),
    () => ({ status: 200, body: api.pools.get("7") }),
    () => ({ status: 200, body: bodyFor([...api.assignments]) }),
  );
  const recovering = client().recover(receiver);
  await expect(recovering).rejects.toThrow(/^Toloka: GET \/assignments returned a malformed response/);
  await expect(recovering).rejects.toThrow(problem);
  expect(handled).toEqual([]);
  expect(await receiver.recovery?.checkpoint()).toBeUndefined();
});

test("a time without an offset is UTC, and may have any fraction of a second", async () => {
  const { handled, receiver, add } = await setUp("ASSIGNMENT_SUBMITTED");
  const submitted = minutesAgo(5);
  add("a-1", { submitted: submitted.slice(0, 19) });
  add("a-2", { submitted: `${submitted}456` });
  await client().recover(receiver);
  expect(handled.map(({ occurredAt }) => Number(occurredAt))).toEqual(
    Array(2).fill(Date.parse(`${submitted}Z`)),
  );
});

test("a page that is too large is asked for again in smaller pages", async () => {
  const { handled, receiver, add } = await setUp("ASSIGNMENT_SUBMITTED");
  const solutions = "x".repeat(6 * 1024 * 1024);
  for (const id of ["a-1", "a-2", "a-3"]) add(id, { submitted: minutesAgo(5), solutions });
  await client().recover(receiver);
  expect(factsOf(handled)).toEqual(["a-1", "a-2", "a-3"].map((id) => `ASSIGNMENT_SUBMITTED ${id}`));
});

describe("a closed pool", () => {
  const close = (minutes: number, fields = {}) =>
    api.pools.set("7", {
      id: "7",
      project_id: "project-1",
      status: "CLOSED",
      last_close_reason: "COMPLETED",
      last_stopped: minutesAgo(minutes),
      ...fields,
    });

  test("is an event with its reason and time", async () => {
    const { handled, receiver } = await setUp("POOL_CLOSED");
    close(5);
    await client().recover(receiver);
    expect(handled).toMatchObject([
      { type: "POOL_CLOSED", data: { close_reason: "COMPLETED", pool_id: "7", event_time: minutesAgo(5) } },
    ]);
    const since = clock() - 60 * MINUTE_MS;
    expect(await client().recover(receiver, { since })).toMatchObject({ handled: 0, duplicate: 1 });
  });

  test("is a duplicate if a webhook reported it a few seconds earlier or later", async () => {
    const { handled, receiver, deliver } = await setUp("POOL_CLOSED");
    close(5);
    await deliver(
      tolokaEvent("POOL_CLOSED", { pool_id: "7", event_time: at(Date.parse(`${minutesAgo(5)}Z`) + 2_000) }),
    );
    expect(await client().recover(receiver)).toMatchObject({ found: 1, handled: 0, duplicate: 1 });
    expect(handled).toHaveLength(1);
  });

  test("is run if a webhook reported only an earlier closing", async () => {
    const { handled, receiver, deliver } = await setUp("POOL_CLOSED");
    close(5);
    await deliver(tolokaEvent("POOL_CLOSED", { pool_id: "7", event_time: minutesAgo(7) }));
    await client().recover(receiver);
    expect(handled).toHaveLength(2);
  });

  test.each([
    ["it is open again", 5, { status: "OPEN" }],
    ["it closed outside of the window", 60 * 48, {}],
  ])("is left out if %s", async (_, minutes, fields) => {
    const { receiver } = await setUp("POOL_CLOSED");
    close(minutes, fields);
    expect(await client().recover(receiver)).toMatchObject({ found: 0 });
  });
});

test("the notes list event types and pools that cannot be recovered", async () => {
  const { receiver } = await setUp("DYNAMIC_OVERLAP_COMPLETED");
  api.add({ webhook_url: TOLOKA_URL, event_type: "POOL_CLOSED", pool_id: "99" });
  const result = await client().recover(receiver);
  expect(result.notes.slice(1)).toEqual([
    "Pool 7: DYNAMIC_OVERLAP_COMPLETED cannot be recovered.",
    "Pool 99 does not exist, so none of its events was recovered.",
  ]);
  expect(String(result)).toContain("! Pool 7: DYNAMIC_OVERLAP_COMPLETED cannot be recovered.");
});

test("a late webhook of a recovered fact is a duplicate", async () => {
  const { handled, receiver, add, deliver } = await setUp("ASSIGNMENT_SUBMITTED");
  add("a-1", { submitted: minutesAgo(5) });
  await client().recover(receiver);
  await deliver(tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id: "a-1", pool_id: "7" }));
  expect(handled).toHaveLength(1);
});
