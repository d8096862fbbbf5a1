import { describe, expect, test } from "vitest";
import { collect, failureOf, PROLIFIC_URL, startApis, status, WORKSPACE } from "./subscriptions-clients.js";
import { hookSecretOf } from "./subscriptions-prolific-api.js";
import { type Handler, startApiServer } from "./subscriptions-server.js";

const { prolificApi, prolificClient } = await startApis();

describe("createProlificSubscriptions", () => {
  const wanted = { event_type: "study.status.change", target_url: PROLIFIC_URL };

  test("subscribe creates a subscription and confirms it with the secret in the header", async () => {
    const subscription = await prolificClient().subscribe({ ...wanted, is_enabled: true });
    const view = { ...wanted, id: "hook-0001", is_enabled: true, workspace_id: WORKSPACE };
    expect(subscription).toEqual(view);
    expect([...prolificApi.confirmed]).toEqual(["hook-0001"]);
    const headers = { authorization: "Token test-token", "content-type": "application/json" };
    expect(prolificApi.requests).toMatchObject([
      {
        method: "POST",
        path: "/hooks/subscriptions/",
        query: {},
        headers,
        body: { workspace_id: WORKSPACE, ...wanted, is_enabled: true },
      },
      {
        method: "POST",
        path: "/hooks/subscriptions/hook-0001/",
        query: {},
        headers,
        body: { secret: hookSecretOf("hook-0001") },
      },
    ]);
  });

  test("each other method sends its call and parses the response", async () => {
    const subscriptions = prolificClient();
    const id = prolificApi.add(wanted);
    expect(await subscriptions.eventTypes()).toEqual([
      { event_type: "study.status.change", description: "A new status." },
    ]);
    expect((await subscriptions.secrets()).map(({ value }) => value)).toEqual(["old"]);
    expect((await subscriptions.createSecret()).value).toBe("new");
    expect((await subscriptions.confirm(id, hookSecretOf(id))).id).toBe(id);
    expect((await subscriptions.disable(id)).is_enabled).toBe(false);
    expect((await subscriptions.enable(id)).is_enabled).toBe(true);
    expect((await subscriptions.get(id)).id).toBe(id);
    expect(await subscriptions.delete(id)).toBe(true);
    expect(await subscriptions.delete(id)).toBe(false);
    expect(await failureOf(subscriptions.delete(id, { mustExist: true }))).toMatchObject({
      provider: "prolific",
      status: 404,
      code: "140404",
      message: expect.stringContaining("Not found: No such thing."),
    });
    expect(
      prolificApi.requests.map(({ method, path, query, body }) => ({ method, path, query, body })),
    ).toEqual([
      { method: "GET", path: "/hooks/event-types/", query: {}, body: undefined },
      { method: "GET", path: "/hooks/secrets/", query: { workspace_id: WORKSPACE }, body: undefined },
      { method: "POST", path: "/hooks/secrets/", query: {}, body: { workspace_id: WORKSPACE } },
      { method: "POST", path: `/hooks/subscriptions/${id}/`, query: {}, body: { secret: hookSecretOf(id) } },
      { method: "PATCH", path: `/hooks/subscriptions/${id}/`, query: {}, body: { is_enabled: false } },
      { method: "PATCH", path: `/hooks/subscriptions/${id}/`, query: {}, body: { is_enabled: true } },
      { method: "GET", path: `/hooks/subscriptions/${id}/`, query: {}, body: undefined },
      ...Array(3).fill({ method: "DELETE", path: `/hooks/subscriptions/${id}/`, query: {}, body: undefined }),
    ]);
  });

  test("eventTypes accepts a page of results", async () => {
    const types = [{ event_type: "new.type", description: "" }];
    prolificApi.nextHandlers.push(() => ({ status: 200, body: { results: types } }));
    expect(await prolificClient().eventTypes()).toEqual(types);
  });

  test("list and events fetch all pages when Prolific returns short ones", async () => {
    for (const event_type of ["a", "b", "c"]) prolificApi.add({ event_type, target_url: PROLIFIC_URL });
    prolificApi.add({ event_type: "d", target_url: PROLIFIC_URL, is_enabled: false });
    const query = { workspace_id: WORKSPACE, is_enabled: "true", limit: "100" };
    const found = await collect(prolificClient().list({ is_enabled: true }));
    expect(found.map(({ event_type }) => event_type)).toEqual(["a", "b", "c"]);
    expect(prolificApi.requests.map(({ path, query }) => ({ path, query }))).toEqual(
      ["0", "2", "3"].map((offset) => ({ path: "/hooks/subscriptions", query: { ...query, offset } })),
    );
    prolificApi.requests.length = 0;
    const events = await collect(prolificClient().events("hook-0001", { status: "FAILED" }));
    expect(events.map(({ id, status }) => `${id} ${status}`)).toEqual([
      "e1 FAILED",
      "e2 FAILED",
      "e3 FAILED",
    ]);
    expect(prolificApi.requests[0]).toMatchObject({
      path: "/hooks/subscriptions/hook-0001/events/",
      query: { status: "FAILED", limit: "100", offset: "0" },
    });
  });

  test("list returns disabled subscriptions as well, which Prolific lists only when asked", async () => {
    prolificApi.add({ ...wanted, is_enabled: false });
    prolificApi.add(wanted);
    const listed = await collect(prolificClient().list());
    expect(listed.map(({ id, is_enabled }) => [id, is_enabled])).toEqual([
      ["hook-0002", true],
      ["hook-0001", false],
    ]);
    expect(await collect(prolificClient().list({ is_enabled: false }))).toHaveLength(1);
    expect(new Set(prolificApi.requests.map(({ query }) => query.is_enabled))).toEqual(
      new Set(["true", "false"]),
    );
  });

  test("subscribe accepts a subscription inside a list of results", async () => {
    prolificApi.nextHandlers.push(({ body }) => {
      const id = prolificApi.add(body as typeof wanted);
      const results = [prolificApi.subscriptions.get(id)];
      return { status: 201, body: { results }, headers: { "x-hook-secret": hookSecretOf(id) } };
    });
    expect(await prolificClient().subscribe(wanted)).toMatchObject({ ...wanted, id: "hook-0001" });
    expect([...prolificApi.confirmed]).toEqual(["hook-0001"]);
  });

  test("update changes the given fields and no others", async () => {
    const id = prolificApi.add(wanted);
    const change = { event_type: "study.progress.change", target_url: `${PROLIFIC_URL}/new` };
    expect(await prolificClient().update(id, change)).toMatchObject({ ...change, is_enabled: true });
    expect(prolificApi.requests).toMatchObject([{ method: "PATCH", body: change }]);
    expect(prolificApi.requests[0]?.body).toEqual(change);
    for (const wrong of [
      {},
      { target_url: "http://example.com" },
      { event_type: "" },
      { is_enabled: "no" },
    ]) {
      await expect(prolificClient().update(id, wrong as object)).rejects.toThrow(TypeError);
    }
    expect(prolificApi.takeCalls()).toHaveLength(1);
  });

  test("events yields older events also if newer ones were added in front while it reads", async () => {
    const id = prolificApi.add(wanted);
    const event = (number: number) => ({
      ...{ id: `e${number}`, event_type: "a", resource_id: "r", status: "FAILED", payload: null },
      ...{ datetime_created: "2026-11-28T10:00:00Z", datetime_updated: "", target_url: PROLIFIC_URL },
    });
    const history = Array.from({ length: 10 }, (_, i) => event(i));
    prolificApi.events.set(id, history);
    prolificApi.pageSize = 2;
    const read: string[] = [];
    for await (const each of prolificClient().events(id)) {
      read.push(each.id);
      if (each.id === "e5") history.unshift(...[15, 14, 13, 12, 11].map(event));
    }
    expect(read.filter((id) => id.length === 2)).toEqual(Array.from({ length: 10 }, (_, i) => `e${i}`));
    expect(new Set(read).size).toBe(read.length);
  });

  test("list ignores links to other pages, so the token goes to no other host", async () => {
    const id = prolificApi.add(wanted);
    const other = await startApiServer(() => ({ status: 200, body: { results: [] } }));
    const next = `${other.baseUrl}/hooks/subscriptions?offset=1`;
    const results = [prolificApi.subscriptions.get(id)];
    prolificApi.nextHandlers.push(() => ({
      status: 200,
      body: { results, next, _links: { next: { href: next } }, meta: { count: 2 } },
    }));
    expect(await collect(prolificClient().list())).toMatchObject([{ id }]);
    expect(other.requests).toEqual([]);
    await other.close();
  });

  test("list ends at the count, and when the API ignores offset", async () => {
    const results = [{ ...wanted, id: "a", is_enabled: true, workspace_id: WORKSPACE }];
    prolificApi.nextHandlers.push(() => ({ status: 200, body: { results, meta: { count: 1 } } }));
    expect(await collect(prolificClient().list({ is_enabled: true }))).toHaveLength(1);
    expect(prolificApi.takeCalls()).toHaveLength(1);
    const again: Handler = () => ({ status: 200, body: { results } });
    prolificApi.nextHandlers.push(again, again);
    expect(await collect(prolificClient().list({ is_enabled: true }))).toHaveLength(1);
    expect(prolificApi.takeCalls()).toHaveLength(2);
  });

  test.each<[string, Handler, object]>([
    ["Prolific refuses the confirmation", status(400), { status: 400 }],
    ["the subscription no longer exists", status(404), { status: 404 }],
  ])("subscribe rejects with the subscription's id when %s", async (_, answer, failure) => {
    const passed = prolificApi.nextHandlers;
    passed.push(({ body }) => {
      const id = prolificApi.add(body as typeof wanted);
      passed.push(answer);
      return {
        status: 201,
        body: prolificApi.subscriptions.get(id),
        headers: { "x-hook-secret": hookSecretOf(id) },
      };
    });
    const error = await failureOf(prolificClient().subscribe(wanted));
    expect(error).toMatchObject({ ...failure, subscriptionId: "hook-0001" });
    expect(error.message).toMatch(/^Subscription hook-0001 was not confirmed, so it was deleted again\. /);
    expect(prolificApi.subscriptions.size).toBe(0);
  });

  test("subscribe says that the subscription exists when it can neither confirm nor delete it", async () => {
    prolificApi.nextHandlers.push(
      ({ body }) => ({
        status: 201,
        body: prolificApi.subscriptions.get(prolificApi.add(body as typeof wanted)),
      }),
      status(403),
    );
    const error = await failureOf(prolificClient().subscribe(wanted));
    expect(error.message).toMatch(/^Subscription hook-0001 exists but is not confirmed/);
    expect(error.subscriptionId).toBe("hook-0001");
  });

  test("subscribe rejects with the subscription's id when the response has no X-Hook-Secret", async () => {
    prolificApi.nextHandlers.push(({ body }) => ({
      status: 201,
      body: prolificApi.subscriptions.get(prolificApi.add(body as typeof wanted)),
    }));
    const error = await failureOf(prolificClient().subscribe(wanted));
    expect(error.subscriptionId).toBe("hook-0001");
    expect(error.message).toContain("X-Hook-Secret");
    expect(prolificApi.takeCalls()).toEqual([
      "POST /hooks/subscriptions/",
      "DELETE /hooks/subscriptions/hook-0001/",
    ]);
  });

  test("confirm hides the secret when the response repeats it", async () => {
    const id = prolificApi.add(wanted);
    const error = await failureOf(prolificClient().confirm(id, "hook-secret-of-another"));
    expect(error.message).toContain("[hidden] is not it.");
    expect(JSON.stringify(error.payload)).toContain("[hidden] is not it.");
  });
});
