import { describe, expect, test } from "vitest";
import { failureOf, PROLIFIC_URL, startApis } from "./subscriptions-clients.js";
import type { Handler } from "./subscriptions-server.js";

const { prolificApi, prolificClient } = await startApis();

describe("ProlificSubscriptions.sync", () => {
  const desired = ["submission.status.change", "study.status.change"].map((event_type) => ({
    event_type,
    target_url: PROLIFIC_URL,
  }));
  const LIST = "GET /hooks/subscriptions";
  const POST = "POST /hooks/subscriptions/";

  test("sync creates and confirms each subscription when the workspace is empty, then lists again", async () => {
    const plan = await prolificClient().sync(desired);
    expect(plan.create).toEqual(desired);
    expect([plan.keep, plan.extra]).toEqual([[], []]);
    expect(prolificApi.confirmed.size).toBe(2);
    // Each list is one of the enabled and one of the disabled subscriptions.
    expect(prolificApi.takeCalls()).toEqual([
      ...[LIST, LIST],
      POST,
      `${POST}hook-0001/`,
      POST,
      `${POST}hook-0002/`,
      ...[LIST, LIST, LIST],
    ]);
  });

  test("sync creates only missing subscriptions, and its plan notes disabled ones", async () => {
    prolificApi.add({ event_type: "study.status.change", target_url: PROLIFIC_URL, is_enabled: false });
    prolificApi.add({ event_type: "study.progress.change", target_url: PROLIFIC_URL });
    prolificApi.add({ event_type: "study.progress.change", target_url: "https://example.com/another-app" });
    const plan = await prolificClient().sync(desired, { dryRun: true });
    expect(prolificApi.takeCalls().every((call) => call.startsWith("GET "))).toBe(true);
    const done = await prolificClient().sync(desired);
    expect(String(done)).toBe(String(plan).replace("; dry run, nothing changed", ""));
    expect(String(done)).toBe(
      [
        "1 to create, 1 to keep, 1 extra (not deleted)",
        `+ ${PROLIFIC_URL} submission.status.change`,
        `= ${PROLIFIC_URL} study.status.change (disabled, call enable("hook-0001") to get deliveries)`,
        `? ${PROLIFIC_URL} study.progress.change`,
      ].join("\n"),
    );
    expect(prolificApi.subscriptions.size).toBe(4);
  });

  test("sync creates no second subscription beside a disabled one at every start", async () => {
    for (const form of desired) prolificApi.add({ ...form, is_enabled: false });
    for (const _ of [1, 2, 3]) await prolificClient().sync(desired);
    expect(prolificApi.subscriptions.size).toBe(2);
  });

  test("sync enables disabled subscriptions with enable, and says so", async () => {
    const [form] = desired as [{ event_type: string; target_url: string }];
    const id = prolificApi.add({ ...form, is_enabled: false });
    const plan = await prolificClient().sync([form], { enable: true, dryRun: true });
    expect(String(plan)).toContain("(disabled, to enable)");
    expect(prolificApi.subscriptions.get(id)).toMatchObject({ is_enabled: false });
    await prolificClient().sync([form], { enable: true });
    expect(prolificApi.subscriptions.get(id)).toMatchObject({ is_enabled: true });
  });

  test("sync replaces a disabled subscription that never had an event", async () => {
    const [form] = desired as [{ event_type: string; target_url: string }];
    const id = prolificApi.add({ ...form, is_enabled: false });
    prolificApi.unused.add(id);
    const dry = await prolificClient().sync([form], { dryRun: true });
    expect(String(dry)).toBe(
      [
        "1 to create, 0 to keep, 0 extra (not deleted); dry run, nothing changed",
        `+ ${form.target_url} ${form.event_type} (replaces hook-0001, which was never confirmed)`,
      ].join("\n"),
    );
    expect([...prolificApi.subscriptions.keys()]).toEqual([id]);
    await prolificClient().sync([form]);
    expect([...prolificApi.subscriptions.keys()]).toEqual(["hook-0002"]);
    expect([...prolificApi.confirmed]).toEqual(["hook-0002"]);
  });

  test("sync keeps a disabled subscription that is desired so, even if it never had an event", async () => {
    const form = { event_type: "a", target_url: PROLIFIC_URL, is_enabled: false };
    prolificApi.unused.add(prolificApi.add(form));
    expect((await prolificClient().sync([form])).keep).toHaveLength(1);
    expect(prolificApi.takeCalls().every((call) => call.startsWith("GET "))).toBe(true);
  });

  test("sync only lists when all subscriptions exist", async () => {
    for (const form of desired) prolificApi.add(form);
    const plan = await prolificClient().sync(desired, { deleteExtra: true });
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([0, 2, 0]);
    expect(new Set(prolificApi.takeCalls())).toEqual(new Set([LIST]));
  });

  test("sync deletes another process's duplicate only with deleteExtra", async () => {
    const [form] = desired;
    const meanwhile: Handler = () => {
      prolificApi.add(desired[0] as { event_type: string; target_url: string });
      return { status: 200, body: { results: [] } };
    };
    prolificApi.nextHandlers.push(meanwhile);
    const plan = await prolificClient().sync(form ? [form] : []);
    expect(plan.create).toEqual([form]);
    expect(plan.keep.map(({ id }) => id)).toEqual(["hook-0001"]);
    expect(plan.extra.map(({ id }) => id)).toEqual(["hook-0002"]);
    expect(prolificApi.subscriptions.size).toBe(2);
    await prolificClient().sync(form ? [form] : [], { deleteExtra: true });
    expect([...prolificApi.subscriptions.keys()]).toEqual(["hook-0001"]);
  });

  test("concurrent syncs with deleteExtra leave one subscription of each", async () => {
    await Promise.all([1, 2, 3].map(() => prolificClient().sync(desired, { deleteExtra: true })));
    expect([...prolificApi.subscriptions.values()].map(({ event_type }) => event_type).sort()).toEqual([
      "study.status.change",
      "submission.status.change",
    ]);
    expect([...prolificApi.subscriptions.keys()].every((id) => prolificApi.confirmed.has(id))).toBe(true);
  });

  test("sync keeps an enabled duplicate rather than a disabled one", async () => {
    const [form] = desired;
    for (const is_enabled of [false, true]) if (form) prolificApi.add({ ...form, is_enabled });
    const plan = await prolificClient().sync(form ? [form] : []);
    expect(plan.keep.map(({ id }) => id)).toEqual(["hook-0002"]);
    expect(plan.extra.map(({ id }) => id)).toEqual(["hook-0001"]);
  });

  test("sync rejects with the subscription's id when the confirmation fails", async () => {
    const [form] = desired;
    const none: Handler = () => ({ status: 200, body: { results: [] } });
    prolificApi.nextHandlers.push(none, none, ({ body }) => {
      const id = prolificApi.add(body as { event_type: string; target_url: string });
      return {
        status: 201,
        body: prolificApi.subscriptions.get(id),
        headers: { "x-hook-secret": "not-it" },
      };
    });
    expect(await failureOf(prolificClient().sync(form ? [form] : []))).toMatchObject({
      status: 400,
      subscriptionId: "hook-0001",
    });
  });
});
