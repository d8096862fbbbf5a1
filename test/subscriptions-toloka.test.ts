import { createTolokaSubscriptions } from "@crowdhook/subscriptions";
import { describe, expect, test, vi } from "vitest";
import { collect, failureOf, form, startApis } from "./subscriptions-clients.js";

const { tolokaApi, tolokaClient } = await startApis();

describe("createTolokaSubscriptions", () => {
  test("create sends the form and parses the time as UTC", async () => {
    const sent = { ...form("POOL_CLOSED"), secret_key: "s3cret-of-the-form" };
    const created = await tolokaClient().create(sent);
    expect(created).toEqual({
      ...form("POOL_CLOSED"),
      id: "sub-0001",
      created: "2020-02-14T12:22:58",
      createdAt: new Date("2020-02-14T12:22:58Z"),
    });
    expect(tolokaApi.requests).toMatchObject([
      {
        method: "PUT",
        path: "/webhook-subscriptions",
        query: {},
        body: sent,
        headers: {
          authorization: "ApiKey test-key",
          "content-type": "application/json",
          accept: "application/json",
        },
      },
    ]);
  });

  test("create replaces the secret when the subscription exists", async () => {
    const subscriptions = tolokaClient();
    const first = await subscriptions.create({ ...form("POOL_CLOSED"), secret_key: "old" });
    const second = await subscriptions.create({ ...form("POOL_CLOSED"), secret_key: "new" });
    expect(second.id).toBe(first.id);
    expect(tolokaApi.secrets.get(first.id)).toBe("new");
  });

  test("create accepts a subscription in an array, and a time with an offset", async () => {
    const view = { ...form("POOL_CLOSED"), id: "x", created: "1970-01-01T01:00:00.000+01:00", extra: 1 };
    tolokaApi.nextHandlers.push(() => ({ status: 201, body: [view] }));
    expect(await tolokaClient().create(form("POOL_CLOSED"))).toEqual({ ...view, createdAt: new Date(0) });
  });

  test("createMany returns created subscriptions and errors by position", async () => {
    const forms = [form("POOL_CLOSED"), form("ASSIGNMENT_CREATED", "closed"), form("ASSIGNMENT_CREATED")];
    const { created, errors } = await tolokaClient().createMany(
      forms.map((each) => ({ ...each, secret_key: "k1" })),
    );
    expect(created.map((each) => each?.event_type)).toEqual(["POOL_CLOSED", undefined, "ASSIGNMENT_CREATED"]);
    expect([...errors]).toEqual([
      [1, { pool_id: { code: "POOL_ARCHIVED", message: "Pool is archived, secret [hidden]" } }],
    ]);
    expect(tolokaApi.requests).toMatchObject([
      {
        method: "PUT",
        path: "/webhook-subscriptions",
        body: forms.map((each) => ({ ...each, secret_key: "k1" })),
      },
    ]);
  });

  test("createMany sends 100 forms in a call, and makes no call without forms", async () => {
    expect(await tolokaClient().createMany([])).toEqual({ created: [], errors: new Map() });
    const forms = Array.from({ length: 201 }, (_, i) =>
      form("POOL_CLOSED", i === 200 ? "closed" : String(i)),
    );
    const { created, errors } = await tolokaClient().createMany(forms);
    expect(tolokaApi.requests.map(({ body }) => (body as []).length)).toEqual([100, 100, 1]);
    expect(created[150]?.pool_id).toBe("150");
    expect([...errors.keys()]).toEqual([200]);
  });

  test("list fetches each next page with the last id", async () => {
    for (const pool of ["1", "2", "3", "4", "5"]) tolokaApi.add(form("POOL_CLOSED", pool));
    const found = await collect(
      tolokaClient().list({ event_type: "POOL_CLOSED", created_gte: "2020-01-01" }),
    );
    expect(found.map(({ pool_id }) => pool_id)).toEqual(["1", "2", "3", "4", "5"]);
    expect(found[0]?.createdAt).toEqual(new Date("2020-02-14T12:22:58Z"));
    const query = { event_type: "POOL_CLOSED", created_gte: "2020-01-01", limit: "300", sort: "id" };
    expect(tolokaApi.requests.map(({ method, path, query }) => ({ method, path, query }))).toEqual([
      { method: "GET", path: "/webhook-subscriptions", query },
      { method: "GET", path: "/webhook-subscriptions", query: { ...query, id_gt: "sub-0002" } },
      { method: "GET", path: "/webhook-subscriptions", query: { ...query, id_gt: "sub-0004" } },
    ]);
  });

  test("list starts after id_gt and fetches a page only when it is needed", async () => {
    for (const pool of ["1", "2", "3", "4"]) tolokaApi.add(form("POOL_CLOSED", pool));
    for await (const { id } of tolokaClient().list({ id_gt: "sub-0001", limit: 1 })) {
      expect(id).toBe("sub-0002");
      break;
    }
    expect(tolokaApi.requests.map(({ query }) => query)).toEqual([
      { id_gt: "sub-0001", limit: "1", sort: "id" },
    ]);
  });

  test("list rejects when has_more is true and no new item follows", async () => {
    tolokaApi.add(form("POOL_CLOSED"));
    const page = { items: [...tolokaApi.subscriptions.values()], has_more: true };
    tolokaApi.nextHandlers.push(
      () => ({ status: 200, body: page }),
      () => ({ status: 200, body: page }),
    );
    expect((await failureOf(collect(tolokaClient().list()))).message).toContain("has_more");
  });

  test("get, delete and test send the id in the path", async () => {
    const id = tolokaApi.add(form("POOL_CLOSED"));
    const subscriptions = tolokaClient({ apiKey: undefined, oauthToken: "test-key" });
    tolokaApi.nextHandlers.push(() => ({ status: 200, body: tolokaApi.subscriptions.get(id) }));
    expect((await subscriptions.get(id)).id).toBe(id);
    expect(tolokaApi.requests[0]?.headers.authorization).toBe("OAuth test-key");
    expect(await tolokaClient().test(id)).toEqual({
      success: false,
      responseReceivedAt: new Date("2022-02-14T12:22:58Z"),
      errorType: "WRONG_STATUS_CODE",
      originalStatusCode: 404,
      uuids: ["uuid-1"],
    });
    expect(tolokaApi.requests[1]).toMatchObject({ query: {}, body: undefined });
    expect(await tolokaClient().delete(id)).toBe(true);
    expect(await tolokaClient().delete(id)).toBe(false);
    const error = await failureOf(tolokaClient().delete(id, { mustExist: true }));
    expect(error).toMatchObject({ status: 404, code: "DOES_NOT_EXIST", requestId: "request-1" });
    expect(tolokaApi.takeCalls()).toEqual([
      `GET /webhook-subscriptions/${id}`,
      `POST /webhook-subscriptions/${id}/test`,
      ...Array(3).fill(`DELETE /webhook-subscriptions/${id}`),
    ]);
  });

  test("test resolves when the webhook did not respond", async () => {
    const id = tolokaApi.add(form("POOL_CLOSED"));
    const body = { success: false, responseReceivedAt: null, errorType: "CONNECTION_ERROR" };
    tolokaApi.nextHandlers.push(() => ({ status: 200, body }));
    expect(await tolokaClient().test(id)).toEqual({
      success: false,
      responseReceivedAt: undefined,
      errorType: "CONNECTION_ERROR",
      originalStatusCode: undefined,
      uuids: [],
    });
  });

  test("a client with yandexTasks calls Yandex Tasks with an OAuth token", async () => {
    const calls: unknown[] = [];
    const fetch: typeof globalThis.fetch = async (url, init) => {
      calls.push([url, new Headers(init?.headers).get("authorization")]);
      return Response.json({ ...form("POOL_CLOSED"), id: "x", created: "2020-02-14T12:22:58" });
    };
    await createTolokaSubscriptions({ oauthToken: "t", yandexTasks: true, fetch }).get("x");
    expect(calls).toEqual([["https://tasks.yandex.ru/api/v1/webhook-subscriptions/x", "OAuth t"]]);
  });

  test.each([
    [false, "https://toloka.dev/api/v1/webhook-subscriptions/x"],
    [true, "https://sandbox.toloka.dev/api/v1/webhook-subscriptions/x"],
  ])("a client with sandbox: %s calls %s", async (sandbox, url) => {
    const view = { ...form("POOL_CLOSED"), id: "x", created: "2020-02-14T12:22:58" };
    const fetch = vi.fn(async (..._: Parameters<typeof globalThis.fetch>) => Response.json(view));
    await createTolokaSubscriptions({ apiKey: "k", sandbox, fetch }).get("x");
    expect(fetch).toHaveBeenCalledOnce();
    expect(fetch.mock.calls[0]?.[0]).toBe(url);
    expect(fetch.mock.calls[0]?.[1]).toMatchObject({
      method: "GET",
      headers: { authorization: "ApiKey k" },
    });
  });
});
