import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { failureOf, form, startApis, TOLOKA_URL } from "./subscriptions-clients.js";

const { tolokaApi, tolokaClient } = await startApis();

describe("TolokaSubscriptions.sync", () => {
  const desired = ["POOL_CLOSED", "ASSIGNMENT_CREATED", "ASSIGNMENT_SUBMITTED"].map((type) => ({
    ...form(type),
    secret_key: "s3cret-of-the-form",
  }));
  const LIST = "GET /webhook-subscriptions";
  const PUT = "PUT /webhook-subscriptions";
  const types = (items: readonly { event_type: string }[]) => items.map(({ event_type }) => event_type);

  test("sync creates all in one call when the account is empty, and the plan shows no secret", async () => {
    const plan = await tolokaClient().sync(desired);
    expect(tolokaApi.takeCalls()).toEqual([LIST, PUT]);
    expect(plan.create).toEqual(desired.map(({ secret_key: _, ...rest }) => rest));
    expect([plan.keep, plan.extra]).toEqual([[], []]);
    expect([...tolokaApi.secrets.values()]).toEqual(Array(3).fill("s3cret-of-the-form"));
    expect(String(plan)).toBe(
      [
        "3 to create, 0 to keep, 0 extra (not deleted)",
        `+ ${TOLOKA_URL} POOL_CLOSED pool 7`,
        `+ ${TOLOKA_URL} ASSIGNMENT_CREATED pool 7`,
        `+ ${TOLOKA_URL} ASSIGNMENT_SUBMITTED pool 7`,
      ].join("\n"),
    );
    expect(inspect(plan, { depth: 5, showHidden: true }) + JSON.stringify(plan)).not.toContain("s3cret");
  });

  test("sync creates only missing subscriptions and keeps extra ones", async () => {
    tolokaApi.add(form("POOL_CLOSED"));
    tolokaApi.add(form("ASSIGNMENT_EXPIRED"));
    tolokaApi.add(form("POOL_CLOSED", "8"));
    tolokaApi.add(form("POOL_CLOSED", "7", "https://example.com/another-app"));
    const plan = await tolokaClient().sync(desired);
    expect(types(plan.create)).toEqual(["ASSIGNMENT_CREATED", "ASSIGNMENT_SUBMITTED"]);
    expect(types(plan.keep)).toEqual(["POOL_CLOSED"]);
    expect(plan.extra.map(({ event_type, pool_id }) => `${event_type} ${pool_id}`)).toEqual([
      "ASSIGNMENT_EXPIRED 7",
      "POOL_CLOSED 8",
    ]);
    expect(tolokaApi.requests.at(-1)?.body).toEqual(desired.slice(1));
    expect(tolokaApi.takeCalls()).toEqual([LIST, LIST, PUT]);
    expect(tolokaApi.subscriptions.size).toBe(6);
    expect(String(plan)).toContain(`? ${TOLOKA_URL} ASSIGNMENT_EXPIRED pool 7`);
  });

  test("sync only lists when all subscriptions exist, in any spelling of their URLs", async () => {
    for (const type of types(desired))
      tolokaApi.add(form(type, "7", "https://EXAMPLE.com:443/toloka-webhook"));
    const plan = await tolokaClient().sync(desired);
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([0, 3, 0]);
    expect(tolokaApi.takeCalls()).toEqual([LIST, LIST]);
  });

  test("deleteExtra deletes extra subscriptions after creating, but none of other apps", async () => {
    const extra = tolokaApi.add(form("ASSIGNMENT_EXPIRED"));
    const other = tolokaApi.add(form("POOL_CLOSED", "7", "https://example.com/another-app"));
    const plan = await tolokaClient().sync(desired, { deleteExtra: true });
    expect(plan.extra.map(({ id }) => id)).toEqual([extra]);
    expect(tolokaApi.takeCalls()).toEqual([LIST, PUT, `DELETE /webhook-subscriptions/${extra}`]);
    expect(tolokaApi.subscriptions.has(other)).toBe(true);
    expect(String(plan)).toContain(`- ${TOLOKA_URL} ASSIGNMENT_EXPIRED pool 7`);
  });

  test("dryRun only lists", async () => {
    tolokaApi.add(form("ASSIGNMENT_EXPIRED"));
    const plan = await tolokaClient().sync(desired, { deleteExtra: true, resend: true, dryRun: true });
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([3, 0, 1]);
    expect(tolokaApi.takeCalls()).toEqual([LIST]);
    expect(String(plan)).toMatch(/^3 to create, 0 to keep, 1 to delete; dry run, nothing changed\n/);
  });

  test("scope selects the subscriptions that can be extra", async () => {
    const old = tolokaApi.add(form("POOL_CLOSED", "7", "https://old.example.com/hook"));
    const plan = await tolokaClient().sync(desired, {
      scope: ({ webhook_url }) => webhook_url.includes("old."),
    });
    expect(plan.extra.map(({ id }) => id)).toEqual([old]);
    const none = await tolokaClient().sync([], { deleteExtra: true });
    expect([none.create, none.keep, none.extra]).toEqual([[], [], []]);
    expect(tolokaApi.subscriptions.size).toBe(4);
  });

  test("resend sends the new secret when the subscription exists", async () => {
    const [first] = desired;
    const id = tolokaApi.add({ ...form("POOL_CLOSED"), secret_key: "old" });
    const plan = await tolokaClient().sync(first ? [first, first] : [], { resend: true });
    expect([plan.create.length, plan.keep.length]).toEqual([0, 1]);
    expect(tolokaApi.takeCalls()).toEqual([LIST, PUT]);
    expect(tolokaApi.secrets.get(id)).toBe("s3cret-of-the-form");
  });

  test("sync names the refused forms and deletes nothing when Toloka refuses some", async () => {
    const extra = tolokaApi.add(form("ASSIGNMENT_EXPIRED"));
    const bad = { ...form("POOL_CLOSED", "closed"), secret_key: "s3cret-of-the-form" };
    const error = await failureOf(tolokaClient().sync([...desired, bad], { deleteExtra: true }));
    expect(error).toMatchObject({ provider: "toloka", code: "POOL_ARCHIVED" });
    expect(error.message).toBe(
      "Toloka refused 1 of 4 subscriptions: POOL_CLOSED in pool closed: pool_id POOL_ARCHIVED. The others exist.",
    );
    expect(tolokaApi.subscriptions.has(extra)).toBe(true);
    expect(tolokaApi.subscriptions.size).toBe(4);
  });

  test("concurrent syncs leave one subscription of each", async () => {
    await Promise.all([1, 2, 3].map(() => tolokaClient().sync(desired, { deleteExtra: true })));
    expect(
      types([...tolokaApi.subscriptions.values()] as unknown as { event_type: string }[]).sort(),
    ).toEqual(types(desired).sort());
  });
});
