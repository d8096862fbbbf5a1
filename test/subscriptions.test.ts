import { inspect } from "node:util";
import { createReceiver } from "@crowdhook/core";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import {
  createProlificSubscriptions,
  createTolokaSubscriptions,
  desiredFrom,
  type ProlificSubscriptionsOptions,
  SubscriptionError,
  type TolokaSubscriptionsOptions,
} from "@crowdhook/subscriptions";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type Handler,
  hookSecretOf,
  type ProlificStandIn,
  prolificStandIn,
  standIn,
  type TolokaMock,
  tolokaMock,
} from "./subscriptions-mock.js";

const URL_A = "https://example.com/toloka-webhook";
const HOOK_URL = "https://example.com/prolific-webhook";
const WORKSPACE = "workspace-1";
/** Whatever of it shows in an error is a leak. */
const SECRETS = ["test-key", "test-token", "s3cret-of-the-form", "hook-secret-of"];

/**
 * Makes the client's waits short, and notes how long they would have been, in milliseconds.
 *
 * @param limit The time limit of an attempt, which stays as it is.
 */
function shortenWaits(limit = 10_000): number[] {
  const waits: number[] = [];
  const wait = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms = 0, ...args: []) => {
    // Those of Node's own fetch come from elsewhere.
    const own = /subscriptions[\\/]dist/.test(new Error().stack ?? "") && ms !== limit;
    if (own) waits.push(ms);
    return wait(run, own ? 0 : ms, ...args);
  }) as typeof setTimeout);
  return waits;
}

/** The error that something ends in, in which no secret shows. */
async function failureOf(promise: Promise<unknown>): Promise<SubscriptionError> {
  const error = await promise.then(
    () => expect.unreachable("It should have failed."),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(SubscriptionError);
  const shown = [
    JSON.stringify(error),
    inspect(error, { depth: 10, showHidden: true }),
    String(error),
  ].join();
  for (const secret of SECRETS) expect(shown).not.toContain(secret);
  expect((error as Error).cause).toBeUndefined();
  return error as SubscriptionError;
}

async function listed<T>(list: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of list) all.push(item);
  return all;
}

const cut: Handler = (_, response) => {
  response.socket?.destroy();
  return undefined;
};
const silent: Handler = () => undefined;
const status =
  (status: number, headers: Record<string, string> = {}): Handler =>
  () => ({ status, headers });

let mock: TolokaMock;
let hooks: ProlificStandIn;

beforeAll(async () => {
  [mock, hooks] = await Promise.all([tolokaMock(), prolificStandIn(WORKSPACE)]);
});
afterAll(() => Promise.all([mock.close(), hooks.close()]));
beforeEach(() => {
  mock.reset();
  hooks.reset();
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(mock.misfits).toEqual([]);
  expect([...mock.next, ...hooks.next]).toEqual([]);
});

const ofToloka = (options: TolokaSubscriptionsOptions = {}) =>
  createTolokaSubscriptions({ apiKey: "test-key", baseUrl: mock.baseUrl, ...options });
const ofProlific = (options: Partial<ProlificSubscriptionsOptions> = {}) =>
  createProlificSubscriptions({
    token: "test-token",
    workspaceId: WORKSPACE,
    baseUrl: hooks.baseUrl,
    ...options,
  });
const form = (event_type: string, pool_id = "7", webhook_url = URL_A) => ({
  webhook_url,
  event_type,
  pool_id,
});

describe("Toloka, on the wire", () => {
  test("create puts the form, and reads the time as UTC", async () => {
    const sent = { ...form("POOL_CLOSED"), secret_key: "s3cret-of-the-form" };
    const created = await ofToloka().create(sent);
    expect(created).toEqual({
      ...form("POOL_CLOSED"),
      id: "sub-0001",
      created: "2020-02-14T12:22:58",
      createdAt: new Date("2020-02-14T12:22:58Z"),
    });
    expect(mock.seen).toMatchObject([
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

  test("create again is an upsert, which may change the secret", async () => {
    const subscriptions = ofToloka();
    const first = await subscriptions.create({ ...form("POOL_CLOSED"), secret_key: "old" });
    const second = await subscriptions.create({ ...form("POOL_CLOSED"), secret_key: "new" });
    expect(second.id).toBe(first.id);
    expect(mock.secrets.get(first.id)).toBe("new");
  });

  test("create takes the subscription out of an array of one, and a time with an offset", async () => {
    const view = { ...form("POOL_CLOSED"), id: "x", created: "1970-01-01T01:00:00.000+01:00", extra: 1 };
    mock.next.push(() => ({ status: 201, body: [view] }));
    expect(await ofToloka().create(form("POOL_CLOSED"))).toEqual({ ...view, createdAt: new Date(0) });
  });

  test("createMany puts an array, and tells by position what was taken and what was not", async () => {
    const forms = [form("POOL_CLOSED"), form("ASSIGNMENT_CREATED", "closed"), form("ASSIGNMENT_CREATED")];
    const { created, errors } = await ofToloka().createMany(
      forms.map((each) => ({ ...each, secret_key: "k1" })),
    );
    expect(created.map((each) => each?.event_type)).toEqual(["POOL_CLOSED", undefined, "ASSIGNMENT_CREATED"]);
    expect([...errors]).toEqual([
      [1, { pool_id: { code: "POOL_ARCHIVED", message: "Pool is archived, secret [hidden]" } }],
    ]);
    expect(mock.seen).toMatchObject([
      {
        method: "PUT",
        path: "/webhook-subscriptions",
        body: forms.map((each) => ({ ...each, secret_key: "k1" })),
      },
    ]);
  });

  test("createMany of none makes no call, of many 100 in each", async () => {
    expect(await ofToloka().createMany([])).toEqual({ created: [], errors: new Map() });
    const forms = Array.from({ length: 201 }, (_, i) =>
      form("POOL_CLOSED", i === 200 ? "closed" : String(i)),
    );
    const { created, errors } = await ofToloka().createMany(forms);
    expect(mock.seen.map(({ body }) => (body as []).length)).toEqual([100, 100, 1]);
    expect(created[150]?.pool_id).toBe("150");
    expect([...errors.keys()]).toEqual([200]);
  });

  test("list goes over all pages by the last id", async () => {
    for (const pool of ["1", "2", "3", "4", "5"]) mock.add(form("POOL_CLOSED", pool));
    const found = await listed(ofToloka().list({ event_type: "POOL_CLOSED", created_gte: "2020-01-01" }));
    expect(found.map(({ pool_id }) => pool_id)).toEqual(["1", "2", "3", "4", "5"]);
    expect(found[0]?.createdAt).toEqual(new Date("2020-02-14T12:22:58Z"));
    const query = { event_type: "POOL_CLOSED", created_gte: "2020-01-01", limit: "300", sort: "id" };
    expect(mock.seen.map(({ method, path, query }) => ({ method, path, query }))).toEqual([
      { method: "GET", path: "/webhook-subscriptions", query },
      { method: "GET", path: "/webhook-subscriptions", query: { ...query, id_gt: "sub-0002" } },
      { method: "GET", path: "/webhook-subscriptions", query: { ...query, id_gt: "sub-0004" } },
    ]);
  });

  test("list asks for a page when it is needed, and from where it is told", async () => {
    for (const pool of ["1", "2", "3", "4"]) mock.add(form("POOL_CLOSED", pool));
    for await (const { id } of ofToloka().list({ id_gt: "sub-0001", limit: 1 })) {
      expect(id).toBe("sub-0002");
      break;
    }
    expect(mock.seen.map(({ query }) => query)).toEqual([{ id_gt: "sub-0001", limit: "1", sort: "id" }]);
  });

  test("a list that says there is more and does not go on is an error, not a loop", async () => {
    mock.add(form("POOL_CLOSED"));
    const page = { items: [...mock.account.values()], has_more: true };
    mock.next.push(
      () => ({ status: 200, body: page }),
      () => ({ status: 200, body: page }),
    );
    expect((await failureOf(listed(ofToloka().list()))).message).toContain("has_more");
  });

  test("get, delete and test name the subscription in the path", async () => {
    const id = mock.add(form("POOL_CLOSED"));
    const subscriptions = ofToloka({ apiKey: undefined, oauthToken: "test-key" });
    mock.next.push(() => ({ status: 200, body: mock.account.get(id) }));
    expect((await subscriptions.get(id)).id).toBe(id);
    expect(mock.seen[0]?.headers.authorization).toBe("OAuth test-key");
    expect(await ofToloka().test(id)).toEqual({
      success: false,
      responseReceivedAt: new Date("2022-02-14T12:22:58Z"),
      errorType: "WRONG_STATUS_CODE",
      originalStatusCode: 404,
      uuids: ["uuid-1"],
    });
    expect(mock.seen[1]).toMatchObject({ query: {}, body: undefined });
    expect(await ofToloka().delete(id)).toBe(true);
    expect(await ofToloka().delete(id)).toBe(false);
    const error = await failureOf(ofToloka().delete(id, { mustExist: true }));
    expect(error).toMatchObject({ status: 404, code: "DOES_NOT_EXIST", requestId: "request-1" });
    expect(mock.calls()).toEqual([
      `GET /webhook-subscriptions/${id}`,
      `POST /webhook-subscriptions/${id}/test`,
      ...Array(3).fill(`DELETE /webhook-subscriptions/${id}`),
    ]);
  });

  test("a test that got no answer is a result, too", async () => {
    const id = mock.add(form("POOL_CLOSED"));
    const body = { success: false, responseReceivedAt: null, errorType: "CONNECTION_ERROR" };
    mock.next.push(() => ({ status: 200, body }));
    expect(await ofToloka().test(id)).toEqual({
      success: false,
      responseReceivedAt: undefined,
      errorType: "CONNECTION_ERROR",
      originalStatusCode: undefined,
      uuids: [],
    });
  });

  test.each([
    [false, "https://toloka.dev/api/v1/webhook-subscriptions/x"],
    [true, "https://sandbox.toloka.dev/api/v1/webhook-subscriptions/x"],
  ])("with sandbox: %s it is at %s", async (sandbox, url) => {
    const view = { ...form("POOL_CLOSED"), id: "x", created: "2020-02-14T12:22:58" };
    const fetch = vi.fn(async (..._: Parameters<typeof globalThis.fetch>) => Response.json(view));
    await createTolokaSubscriptions({ apiKey: "k", sandbox, fetch }).get("x");
    expect(fetch).toHaveBeenCalledOnce();
    expect(fetch.mock.calls[0]?.[0]).toBe(url);
    expect(fetch.mock.calls[0]?.[1]).toMatchObject({ method: "GET", headers: { authorization: "ApiKey k" } });
  });
});

describe("Prolific, on the wire", () => {
  const wanted = { event_type: "study.status.change", target_url: HOOK_URL };

  test("subscribe creates, and confirms with what the header says", async () => {
    const subscription = await ofProlific().subscribe({ ...wanted, is_enabled: true });
    const view = { ...wanted, id: "hook-0001", is_enabled: true, workspace_id: WORKSPACE };
    expect(subscription).toEqual(view);
    expect([...hooks.confirmed]).toEqual(["hook-0001"]);
    const headers = { authorization: "Token test-token", "content-type": "application/json" };
    expect(hooks.seen).toMatchObject([
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

  test("every other call", async () => {
    const subscriptions = ofProlific();
    const id = hooks.add(wanted);
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
      platform: "prolific",
      status: 404,
      code: "140404",
      message: expect.stringContaining("Not found: No such thing."),
    });
    expect(hooks.seen.map(({ method, path, query, body }) => ({ method, path, query, body }))).toEqual([
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

  test("event types are read out of a page of results, too", async () => {
    const types = [{ event_type: "new.type", description: "" }];
    hooks.next.push(() => ({ status: 200, body: { results: types } }));
    expect(await ofProlific().eventTypes()).toEqual(types);
  });

  test("lists go over all pages, however short Prolific keeps them", async () => {
    for (const event_type of ["a", "b", "c"]) hooks.add({ event_type, target_url: HOOK_URL });
    hooks.add({ event_type: "d", target_url: HOOK_URL, is_enabled: false });
    const query = { workspace_id: WORKSPACE, is_enabled: "true", limit: "100" };
    const found = await listed(ofProlific().list({ is_enabled: true }));
    expect(found.map(({ event_type }) => event_type)).toEqual(["a", "b", "c"]);
    expect(hooks.seen.map(({ path, query }) => ({ path, query }))).toEqual(
      ["0", "2", "3"].map((offset) => ({ path: "/hooks/subscriptions", query: { ...query, offset } })),
    );
    hooks.seen.length = 0;
    const events = await listed(ofProlific().events("hook-0001", { status: "FAILED" }));
    expect(events.map(({ id, status }) => `${id} ${status}`)).toEqual([
      "e1 FAILED",
      "e2 FAILED",
      "e3 FAILED",
    ]);
    expect(hooks.seen[0]).toMatchObject({
      path: "/hooks/subscriptions/hook-0001/events/",
      query: { status: "FAILED", limit: "100", offset: "0" },
    });
  });

  test("a list ends where the count says so, and where offset is not heard", async () => {
    const results = [{ ...wanted, id: "a", is_enabled: true, workspace_id: WORKSPACE }];
    hooks.next.push(() => ({ status: 200, body: { results, meta: { count: 1 } } }));
    expect(await listed(ofProlific().list())).toHaveLength(1);
    expect(hooks.calls()).toHaveLength(1);
    const again: Handler = () => ({ status: 200, body: { results } });
    hooks.next.push(again, again);
    expect(await listed(ofProlific().list())).toHaveLength(1);
    expect(hooks.calls()).toHaveLength(2);
  });

  test.each<[string, Handler, object]>([
    ["the confirmation is refused", status(400), { status: 400 }],
    ["the subscription is gone again", status(404), { status: 404 }],
  ])("if %s, the error says what exists, and that it is unconfirmed", async (_, answer, failure) => {
    const passed = hooks.next;
    passed.push(({ body }) => {
      const id = hooks.add(body as typeof wanted);
      passed.push(answer);
      return { status: 201, body: hooks.account.get(id), headers: { "x-hook-secret": hookSecretOf(id) } };
    });
    const error = await failureOf(ofProlific().subscribe(wanted));
    expect(error).toMatchObject({ ...failure, subscriptionId: "hook-0001" });
    expect(error.message).toMatch(/^Subscription hook-0001 exists, but is unconfirmed/);
  });

  test("without the header there is nothing to confirm with, and the error says so", async () => {
    hooks.next.push(({ body }) => ({
      status: 201,
      body: hooks.account.get(hooks.add(body as typeof wanted)),
    }));
    const error = await failureOf(ofProlific().subscribe(wanted));
    expect(error.subscriptionId).toBe("hook-0001");
    expect(error.message).toContain("X-Hook-Secret");
    expect(hooks.calls()).toHaveLength(1);
  });

  test("a secret that an answer repeats is hidden", async () => {
    const id = hooks.add(wanted);
    const error = await failureOf(ofProlific().confirm(id, "hook-secret-of-another"));
    expect(error.message).toContain("[hidden] is not it.");
    expect(JSON.stringify(error.payload)).toContain("[hidden] is not it.");
  });
});

describe("repeating", () => {
  test("429 twice, then success: it waits as Retry-After says, in seconds or as a date", async () => {
    const waits = shortenWaits();
    const date = new Date(Date.now() + 30_000).toUTCString();
    mock.next.push(status(429, { "retry-after": "7" }), status(429, { "retry-after": date }));
    expect(await listed(ofToloka().list())).toEqual([]);
    expect(mock.calls()).toHaveLength(3);
    expect(waits[0]).toBe(7_000);
    expect(waits[1]).toBeGreaterThan(25_000);
    expect(waits[1]).toBeLessThanOrEqual(30_000);
  });

  test("without Retry-After, or with one that cannot be read, the waits double, half of them by chance", async () => {
    const waits = shortenWaits();
    mock.next.push(status(503), status(429, { "retry-after": "soon" }), status(502), status(500));
    expect(await listed(ofToloka().list())).toEqual([]);
    expect(waits).toHaveLength(4);
    for (const [index, longest] of [500, 1_000, 2_000, 4_000].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(longest / 2);
      expect(waits[index]).toBeLessThanOrEqual(longest);
    }
  });

  test("503 honours Retry-After; one of more than a minute is an error at once", async () => {
    const waits = shortenWaits();
    mock.next.push(status(503, { "retry-after": "3" }), status(503, { "retry-after": "3600" }));
    const error = await failureOf(ofToloka().get("x"));
    expect(error.status).toBe(503);
    expect(error.message).toContain("Retry-After: 3600");
    expect(waits).toEqual([3_000]);
  });

  test("it gives up after as many repetitions as it was told", async () => {
    shortenWaits();
    for (let i = 0; i < 3; i++) mock.next.push(status(429, { "retry-after": "0" }));
    expect((await failureOf(ofToloka({ retries: 2 }).get("x"))).status).toBe(429);
    expect(mock.calls()).toHaveLength(3);
    mock.next.push(status(429));
    await failureOf(ofToloka({ retries: 0 }).get("x"));
    expect(mock.calls()).toHaveLength(1);
  });

  const FAULTS: [string, Handler][] = [
    ["503", status(503)],
    ["500", status(500)],
    ["a lost connection", cut],
    [
      "an answer that breaks off",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write('{"items":', () => response.destroy());
        return undefined;
      },
    ],
  ];

  test.each(FAULTS)("after %s, what can be done twice is", async (_, fault) => {
    shortenWaits();
    const id = mock.add(form("POOL_CLOSED"));
    const hook = hooks.add({ event_type: "a", target_url: HOOK_URL });
    const calls: (() => Promise<unknown>)[] = [
      () => ofToloka().create(form("POOL_CLOSED")),
      () => ofToloka().createMany([form("POOL_CLOSED")]),
      () => ofToloka().get(id),
      () => ofToloka().delete(id),
      () => ofProlific().eventTypes(),
      () => ofProlific().secrets(),
      () => ofProlific().confirm(hook, hookSecretOf(hook)),
      () => ofProlific().enable(hook),
      () => ofProlific().delete(hook),
    ];
    for (const call of calls) {
      mock.next.splice(0, 1, fault);
      hooks.next.splice(0, 1, fault);
      await call();
      expect(mock.calls().length + hooks.calls().length).toBe(2);
    }
    mock.next.length = 0;
    hooks.next.length = 0;
  });

  test.each(FAULTS)("after %s, what cannot be done twice is not", async (_, fault) => {
    shortenWaits();
    const id = mock.add(form("POOL_CLOSED"));
    mock.next.push(fault);
    await failureOf(ofToloka().test(id));
    expect(mock.calls()).toHaveLength(1);
    hooks.next.push(fault, fault);
    await failureOf(ofProlific().subscribe({ event_type: "a", target_url: HOOK_URL }));
    await failureOf(ofProlific().createSecret());
    expect(hooks.calls()).toHaveLength(2);
  });

  test("after 429 everything is repeated: it says that nothing was done", async () => {
    shortenWaits();
    const id = mock.add(form("POOL_CLOSED"));
    mock.next.push(status(429));
    expect((await ofToloka().test(id)).success).toBe(false);
    hooks.next.push(status(429));
    await ofProlific().subscribe({ event_type: "a", target_url: HOOK_URL });
    hooks.next.push(status(429));
    await ofProlific().createSecret();
    expect(mock.calls()).toHaveLength(2);
    expect(hooks.calls()).toHaveLength(5);
    expect(hooks.account.size).toBe(1);
  });

  test("what was deleted by an attempt without an answer counts as deleted", async () => {
    shortenWaits();
    const id = mock.add(form("POOL_CLOSED"));
    const deleting: Handler = (seen, response) => {
      mock.account.delete(id);
      return cut(seen, response);
    };
    mock.next.push(deleting);
    expect(await ofToloka().delete(id, { mustExist: true })).toBe(true);
    mock.next.push(status(429));
    expect(await ofToloka().delete(id)).toBe(false);
  });

  test("400 is not repeated", async () => {
    mock.next.push(status(400));
    await failureOf(ofToloka().get("x"));
    expect(mock.calls()).toHaveLength(1);
  });
});

describe("errors", () => {
  test("what Toloka says is in the error: code, message, request and payload", async () => {
    const body = {
      request_id: "r-1",
      code: "VALIDATION_ERROR",
      message: "secret_key s3cret-of-the-form is too short",
      payload: { secret_key: { value: "s3cret-of-the-form" }, key: ["ApiKey test-key"] },
    };
    mock.next.push(() => ({ status: 400, body }));
    const sent = { ...form("POOL_CLOSED"), secret_key: "s3cret-of-the-form" };
    const error = await failureOf(ofToloka().create(sent));
    expect(error).toMatchObject({
      name: "SubscriptionError",
      platform: "toloka",
      status: 400,
      code: "VALIDATION_ERROR",
      requestId: "r-1",
      payload: { secret_key: { value: "[hidden]" }, key: ["ApiKey [hidden]"] },
    });
    expect(error.message).toBe(
      "Toloka: PUT /webhook-subscriptions was answered with 400, VALIDATION_ERROR: secret_key [hidden] is too short; request r-1",
    );
  });

  test("a wrong key", async () => {
    const error = await failureOf(ofToloka({ apiKey: "wrong-test-key" }).get("x"));
    expect(error).toMatchObject({ status: 401, code: "AUTHENTICATION_FAILED" });
    expect(error.message).toContain("is the key right, and of this environment?");
    expect(await failureOf(ofProlific({ token: "wrong" }).secrets())).toMatchObject({
      status: 401,
      code: "140401",
    });
  });

  test("a time-out, before the answer and within it", async () => {
    mock.next.push(silent, (_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
      return undefined;
    });
    for (const _ of [1, 2]) {
      const error = await failureOf(ofToloka({ timeout: 0.1, retries: 0 }).get("x"));
      expect(error).toMatchObject({ code: "TIMEOUT" });
      expect(error.status).toBeUndefined();
      expect(error.message).toBe("Toloka: GET /webhook-subscriptions/x was not answered within 0.1 seconds.");
    }
    hooks.next.push(silent);
    const error = await failureOf(ofProlific({ timeout: 0.1 }).createSecret());
    expect(error.message).toContain("It was not repeated: it may have been done all the same.");
  });

  test("a time-out is repeated where that is safe", async () => {
    shortenWaits(200);
    mock.next.push(silent);
    expect(await listed(ofToloka({ timeout: 0.2 }).list())).toEqual([]);
    expect(mock.calls()).toHaveLength(2);
  });

  test("a connection that is cut, and one that is refused", async () => {
    shortenWaits();
    mock.next.push(cut, cut);
    const error = await failureOf(ofToloka({ retries: 1 }).get("x"));
    expect(error.message).toMatch(/got no answer \((UND_ERR_SOCKET|ECONNRESET)\), 2 times\.$/);
    const gone = await standIn(silent);
    await gone.close();
    const refused = await failureOf(ofToloka({ baseUrl: gone.baseUrl, retries: 0 }).get("x"));
    expect(refused.code).toBe("ECONNREFUSED");
  });

  test("a fetch that throws the request, headers and all, gives none of it away", async () => {
    const fetch = vi.fn(async (...args: unknown[]) => {
      throw Object.assign(new Error(`failed: ${JSON.stringify(args)}`), { request: args, cause: { args } });
    });
    const error = await failureOf(ofToloka({ fetch, retries: 0 }).get("x"));
    expect(error.code).toBe("UNREACHABLE");
    await failureOf(ofProlific({ fetch, retries: 0 }).confirm("x", "hook-secret-of-x"));
  });

  test.each([
    ["a page that answers for it", 200, "cannot be read|not JSON: is baseUrl right"],
    ["the page of a gateway", 404, "404 and text/html, not JSON"],
    ["a page that wants a login", 403, "may this key do that"],
  ])("%s in HTML is named, and not quoted", async (_, code, expected) => {
    for (const call of [() => ofToloka().get("x"), () => ofToloka().delete("x")]) {
      mock.next.push(() => ({ status: code, body: "<html>ApiKey test-key</html>" }));
      const error = await failureOf(call());
      expect(error).toMatchObject({ status: code, code: "ANSWER_MALFORMED" });
      expect(error.message).toMatch(new RegExp(expected));
      expect(error.message).not.toContain("<html>");
    }
  });

  test("a redirect is not followed, for it could make another call of it", async () => {
    mock.next.push(status(301, { location: "http://127.0.0.1:9/" }));
    const error = await failureOf(ofToloka().create(form("POOL_CLOSED")));
    expect(error.message).toContain("a redirect, which is not followed: is baseUrl right?");
    expect(mock.calls()).toHaveLength(1);
  });

  const view = { ...form("POOL_CLOSED"), id: "x", created: "2020-02-14T12:22:58" };
  test.each<[string, unknown, () => Promise<unknown>, string]>([
    ["no id", { ...view, id: undefined }, () => ofToloka().get("x"), "id: expected string"],
    ["a number", { ...view, pool_id: 7 }, () => ofToloka().create(form("a")), "pool_id: expected string"],
    ["no time", { ...view, created: "today" }, () => ofToloka().get("x"), "created: expected ISO 8601"],
    ["two for one", [view, view], () => ofToloka().create(form("a")), "the body: expected object"],
    ["null", null, () => ofToloka().get("x"), "the body: expected object"],
    ["no body", undefined, () => ofToloka().get("x"), "the body: expected object"],
    ["a bare page", [view], () => listed(ofToloka().list()), "the body: expected object"],
    ["no has_more", { items: [view] }, () => listed(ofToloka().list()), "has_more: expected boolean"],
    [
      "one that is broken",
      { items: [view, {}], has_more: false },
      () => listed(ofToloka().list()),
      "items.1.id: expected string",
    ],
    [
      "nothing of a form",
      { items: {} },
      () => ofToloka().createMany([form("a")]),
      "items.0: expected object",
    ],
    [
      "an array of many",
      { items: [view] },
      () => ofToloka().createMany([form("a")]),
      "items: expected record",
    ],
    ["success in words", { success: "yes" }, () => ofToloka().test("x"), "success: expected boolean"],
  ])("a malformed answer, %s: the field is named", async (_, body, call, expected) => {
    mock.next.push(() => ({ status: 200, body }));
    const error = await failureOf(call());
    expect(error.code).toBe("ANSWER_MALFORMED");
    expect(error.message).toContain(expected);
  });

  test.each<[unknown, () => Promise<unknown>, string]>([
    [{ results: [{}] }, () => ofProlific().eventTypes(), "results.0.event_type: expected string"],
    [{ results: {} }, () => listed(ofProlific().list()), "results: expected array"],
    [{ id: "s" }, () => ofProlific().createSecret(), "value: expected string"],
    [{ id: "h" }, () => ofProlific().get("h"), "event_type: expected string"],
  ])("a malformed answer of Prolific's, %j: the field is named", async (body, call, expected) => {
    hooks.next.push(() => ({ status: 200, body }));
    expect((await failureOf(call())).message).toContain(expected);
  });
});

describe("mistakes", () => {
  const apiKey = "test-key";
  const create = (options: object) => () => createTolokaSubscriptions(options);
  const createIn = (options: object) => () =>
    createProlificSubscriptions({ token: "test-token", workspaceId: WORKSPACE, ...options });

  test.each<[string, () => unknown, RegExp]>([
    ["no key", create({}), /apiKey is undefined, not a string: is TOLOKA_API_KEY set/],
    ["an empty key", create({ apiKey: "" }), /apiKey is empty/],
    ["both keys", create({ apiKey, oauthToken: "x" }), /Pass one of them/],
    ["a line break in the key", create({ apiKey: `${apiKey}\n` }), /apiKey holds white space.*Trim it/],
    ["the scheme in the key", create({ apiKey: `ApiKey ${apiKey}` }), /without "ApiKey"/],
    ["a key that is not ASCII", create({ oauthToken: `${apiKey}…` }), /oauthToken holds characters/],
    ["a slash at the end", create({ apiKey, baseUrl: "https://example.com/" }), /baseUrl ends with a slash/],
    ["a query", create({ apiKey, baseUrl: "https://example.com/v1?a=1" }), /baseUrl has a query/],
    [
      "a password",
      create({ apiKey, baseUrl: "https://me:test-key@example.com" }),
      /baseUrl holds a user name/,
    ],
    ["no URL", create({ apiKey, baseUrl: "toloka.dev" }), /baseUrl is not an http or https URL/],
    [
      "two addresses",
      create({ apiKey, baseUrl: "https://example.com", sandbox: true }),
      /Pass it or sandbox/,
    ],
    ["sandbox in words", create({ apiKey, sandbox: "false" }), /sandbox must be true or false/],
    ["a timeout of 0", create({ apiKey, timeout: 0 }), /timeout must be a number of seconds/],
    ["a timeout in milliseconds", create({ apiKey, timeout: 10_000 }), /at most 3600, not 10000/],
    ["half a repetition", create({ apiKey, retries: 0.5 }), /retries must be a whole number/],
    ["a fetch that is none", create({ apiKey, fetch: {} }), /fetch must be a function/],
    ["no token", createIn({ token: undefined }), /token is undefined.*PROLIFIC_TOKEN/],
    ["white space in the token", createIn({ token: " test-token" }), /token holds white space/],
    ["no workspace", createIn({ workspaceId: undefined }), /workspaceId must be the id of one/],
  ])("%s", (_, make, message) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
    expect(make).not.toThrow(/test-key|test-token/);
  });

  const wanted = { event_type: "a", target_url: HOOK_URL };
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["an empty id", () => ofToloka().delete(""), /id must be the id of one/],
    ["an id that leads elsewhere", () => ofToloka().get(".."), /id must be the id of one/],
    ["an id with a slash", () => ofProlific().delete("a/b"), /id must be the id of one/],
    [
      "no URL",
      () => ofToloka().create({ ...form("a"), webhook_url: "/hook" }),
      /webhook_url must be the whole URL/,
    ],
    ["no type", () => ofToloka().create(form("")), /event_type must be a string that is not empty/],
    [
      "a pool that is a number",
      () => ofToloka().createMany([form("a", 7 as never)]),
      /\[0\]\.pool_id.*not number/,
    ],
    ["a secret with a line break", () => ofToloka().create({ ...form("a"), secret_key: "s\n" }), /Trim it/],
    [
      "one subscription with two secrets",
      () => ofToloka().sync([form("a"), { ...form("a"), secret_key: "s" }]),
      /desired twice, with two secrets/,
    ],
    [
      "http for Prolific",
      () => ofProlific().subscribe({ ...wanted, target_url: "http://example.com/hook?token=test-token" }),
      /target_url must begin with "https:\/\/".*It is at http:\/\/example\.com\.$/,
    ],
    ["http in a sync", () => ofProlific().sync([{ ...wanted, target_url: "http://a" }]), /\[0\]\.target_url/],
    ["no secret to confirm with", () => ofProlific().confirm("x", ""), /secret must be a string/],
  ])("%s, before anything is sent", async (_, call, message) => {
    const error = await call().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TypeError);
    expect(String(error)).toMatch(message);
    expect([...mock.seen, ...hooks.seen]).toEqual([]);
  });
});

describe("sync with Toloka", () => {
  const desired = ["POOL_CLOSED", "ASSIGNMENT_CREATED", "ASSIGNMENT_SUBMITTED"].map((type) => ({
    ...form(type),
    secret_key: "s3cret-of-the-form",
  }));
  const LIST = "GET /webhook-subscriptions";
  const PUT = "PUT /webhook-subscriptions";
  const types = (items: readonly { event_type: string }[]) => items.map(({ event_type }) => event_type);

  test("an empty account: one call to list, one to create, and the plan shows no secret", async () => {
    const plan = await ofToloka().sync(desired);
    expect(mock.calls()).toEqual([LIST, PUT]);
    expect(plan.create).toEqual(desired.map(({ secret_key: _, ...rest }) => rest));
    expect([plan.keep, plan.extra]).toEqual([[], []]);
    expect([...mock.secrets.values()]).toEqual(Array(3).fill("s3cret-of-the-form"));
    expect(String(plan)).toBe(
      [
        "3 to create, 0 to keep, 0 extra, left as it is",
        `+ ${URL_A} POOL_CLOSED pool 7`,
        `+ ${URL_A} ASSIGNMENT_CREATED pool 7`,
        `+ ${URL_A} ASSIGNMENT_SUBMITTED pool 7`,
      ].join("\n"),
    );
    expect(inspect(plan, { depth: 5, showHidden: true }) + JSON.stringify(plan)).not.toContain("s3cret");
  });

  test("an account that partly matches: only what is missing is created, and what is extra stays", async () => {
    mock.add(form("POOL_CLOSED"));
    mock.add(form("ASSIGNMENT_EXPIRED"));
    mock.add(form("POOL_CLOSED", "8"));
    mock.add(form("POOL_CLOSED", "7", "https://example.com/another-app"));
    const plan = await ofToloka().sync(desired);
    expect(types(plan.create)).toEqual(["ASSIGNMENT_CREATED", "ASSIGNMENT_SUBMITTED"]);
    expect(types(plan.keep)).toEqual(["POOL_CLOSED"]);
    expect(plan.extra.map(({ event_type, pool_id }) => `${event_type} ${pool_id}`)).toEqual([
      "ASSIGNMENT_EXPIRED 7",
      "POOL_CLOSED 8",
    ]);
    expect(mock.seen.at(-1)?.body).toEqual(desired.slice(1));
    expect(mock.calls()).toEqual([LIST, LIST, PUT]);
    expect(mock.account.size).toBe(6);
    expect(String(plan)).toContain(`? ${URL_A} ASSIGNMENT_EXPIRED pool 7`);
  });

  test("an account that fully matches: it is only listed, in whatever way its URLs are written", async () => {
    for (const type of types(desired)) mock.add(form(type, "7", "https://EXAMPLE.com:443/toloka-webhook"));
    const plan = await ofToloka().sync(desired);
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([0, 3, 0]);
    expect(mock.calls()).toEqual([LIST, LIST]);
  });

  test("deleteExtra deletes what is extra, after creating; other apps' subscriptions stay", async () => {
    const extra = mock.add(form("ASSIGNMENT_EXPIRED"));
    const other = mock.add(form("POOL_CLOSED", "7", "https://example.com/another-app"));
    const plan = await ofToloka().sync(desired, { deleteExtra: true });
    expect(plan.extra.map(({ id }) => id)).toEqual([extra]);
    expect(mock.calls()).toEqual([LIST, PUT, `DELETE /webhook-subscriptions/${extra}`]);
    expect(mock.account.has(other)).toBe(true);
    expect(String(plan)).toContain(`- ${URL_A} ASSIGNMENT_EXPIRED pool 7`);
  });

  test("dryRun only lists", async () => {
    mock.add(form("ASSIGNMENT_EXPIRED"));
    const plan = await ofToloka().sync(desired, { deleteExtra: true, resend: true, dryRun: true });
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([3, 0, 1]);
    expect(mock.calls()).toEqual([LIST]);
    expect(String(plan)).toMatch(/^3 to create, 0 to keep, 1 to delete \(dry run: nothing was changed\)\n/);
  });

  test("scope takes in an old address, and nothing else", async () => {
    const old = mock.add(form("POOL_CLOSED", "7", "https://old.example.com/hook"));
    const plan = await ofToloka().sync(desired, { scope: ({ webhook_url }) => webhook_url.includes("old.") });
    expect(plan.extra.map(({ id }) => id)).toEqual([old]);
    const none = await ofToloka().sync([], { deleteExtra: true });
    expect([none.create, none.keep, none.extra]).toEqual([[], [], []]);
    expect(mock.account.size).toBe(4);
  });

  test("resend gives those that exist the new secret, too", async () => {
    const [first] = desired;
    const id = mock.add({ ...form("POOL_CLOSED"), secret_key: "old" });
    const plan = await ofToloka().sync(first ? [first, first] : [], { resend: true });
    expect([plan.create.length, plan.keep.length]).toEqual([0, 1]);
    expect(mock.calls()).toEqual([LIST, PUT]);
    expect(mock.secrets.get(id)).toBe("s3cret-of-the-form");
  });

  test("if Toloka does not take some, the error names them, and nothing is deleted", async () => {
    const extra = mock.add(form("ASSIGNMENT_EXPIRED"));
    const bad = { ...form("POOL_CLOSED", "closed"), secret_key: "s3cret-of-the-form" };
    const error = await failureOf(ofToloka().sync([...desired, bad], { deleteExtra: true }));
    expect(error).toMatchObject({ platform: "toloka", code: "POOL_ARCHIVED" });
    expect(error.message).toBe(
      "Toloka refused 1 of 4 subscriptions: POOL_CLOSED of pool closed: pool_id POOL_ARCHIVED. The others exist.",
    );
    expect(mock.account.has(extra)).toBe(true);
    expect(mock.account.size).toBe(4);
  });

  test("several processes at once leave one of each", async () => {
    await Promise.all([1, 2, 3].map(() => ofToloka().sync(desired, { deleteExtra: true })));
    expect(types([...mock.account.values()] as unknown as { event_type: string }[]).sort()).toEqual(
      types(desired).sort(),
    );
  });
});

describe("sync with Prolific", () => {
  const desired = ["submission.status.change", "study.status.change"].map((event_type) => ({
    event_type,
    target_url: HOOK_URL,
  }));
  const LIST = "GET /hooks/subscriptions";
  const POST = "POST /hooks/subscriptions/";

  test("an empty workspace: each is created and confirmed, then it looks again", async () => {
    const plan = await ofProlific().sync(desired);
    expect(plan.create).toEqual(desired);
    expect([plan.keep, plan.extra]).toEqual([[], []]);
    expect(hooks.confirmed.size).toBe(2);
    expect(hooks.calls()).toEqual([
      LIST,
      POST,
      `${POST}hook-0001/`,
      POST,
      `${POST}hook-0002/`,
      ...[LIST, LIST],
    ]);
  });

  test("a workspace that partly matches", async () => {
    hooks.add({ event_type: "study.status.change", target_url: HOOK_URL, is_enabled: false });
    hooks.add({ event_type: "study.progress.change", target_url: HOOK_URL });
    hooks.add({ event_type: "study.progress.change", target_url: "https://example.com/another-app" });
    const plan = await ofProlific().sync(desired, { dryRun: true });
    expect(hooks.calls().every((call) => call === LIST)).toBe(true);
    const done = await ofProlific().sync(desired);
    expect(String(done)).toBe(String(plan).replace(" (dry run: nothing was changed)", ""));
    expect(String(done)).toBe(
      [
        "1 to create, 1 to keep, 1 extra, left as it is",
        `+ ${HOOK_URL} submission.status.change`,
        `= ${HOOK_URL} study.status.change (disabled: nothing is delivered until enable("hook-0001"))`,
        `? ${HOOK_URL} study.progress.change`,
      ].join("\n"),
    );
    expect(hooks.account.size).toBe(4);
  });

  test("a workspace that fully matches is only listed", async () => {
    for (const form of desired) hooks.add(form);
    const plan = await ofProlific().sync(desired, { deleteExtra: true });
    expect([plan.create.length, plan.keep.length, plan.extra.length]).toEqual([0, 2, 0]);
    expect(new Set(hooks.calls())).toEqual(new Set([LIST]));
  });

  test("what another process created meanwhile is seen, and deleted only if that was asked for", async () => {
    const [form] = desired;
    const meanwhile: Handler = () => {
      hooks.add(desired[0] as { event_type: string; target_url: string });
      return { status: 200, body: { results: [] } };
    };
    hooks.next.push(meanwhile);
    const plan = await ofProlific().sync(form ? [form] : []);
    expect(plan.create).toEqual([form]);
    expect(plan.keep.map(({ id }) => id)).toEqual(["hook-0001"]);
    expect(plan.extra.map(({ id }) => id)).toEqual(["hook-0002"]);
    expect(hooks.account.size).toBe(2);
    await ofProlific().sync(form ? [form] : [], { deleteExtra: true });
    expect([...hooks.account.keys()]).toEqual(["hook-0001"]);
  });

  test("several processes at once that delete what is extra leave one of each", async () => {
    await Promise.all([1, 2, 3].map(() => ofProlific().sync(desired, { deleteExtra: true })));
    expect([...hooks.account.values()].map(({ event_type }) => event_type).sort()).toEqual([
      "study.status.change",
      "submission.status.change",
    ]);
    expect([...hooks.account.keys()].every((id) => hooks.confirmed.has(id))).toBe(true);
  });

  test("an enabled one is kept before a disabled one of the same", async () => {
    const [form] = desired;
    for (const is_enabled of [false, true]) if (form) hooks.add({ ...form, is_enabled });
    const plan = await ofProlific().sync(form ? [form] : []);
    expect(plan.keep.map(({ id }) => id)).toEqual(["hook-0002"]);
    expect(plan.extra.map(({ id }) => id)).toEqual(["hook-0001"]);
  });

  test("one that cannot be confirmed is an error, with its id", async () => {
    const [form] = desired;
    hooks.next.push(
      () => ({ status: 200, body: { results: [] } }),
      ({ body }) => {
        const id = hooks.add(body as { event_type: string; target_url: string });
        return { status: 201, body: hooks.account.get(id), headers: { "x-hook-secret": "not-it" } };
      },
    );
    expect(await failureOf(ofProlific().sync(form ? [form] : []))).toMatchObject({
      status: 400,
      subscriptionId: "hook-0001",
    });
  });
});

describe("desiredFrom", () => {
  const secret = "12345";
  const poolIds = ["1", "2"];

  test("makes forms of the types that are listened to, in each pool", async () => {
    const receiver = createReceiver(toloka, { secret });
    receiver.on(["ASSIGNMENT_CREATED", "POOL_CLOSED", "TEST_EVENT"], () => {});
    const desired = desiredFrom(receiver, { url: URL_A, poolIds, secret });
    expect(desired).toEqual(
      poolIds.flatMap((pool) =>
        ["POOL_CLOSED", "ASSIGNMENT_CREATED"].map((type) => ({ ...form(type, pool), secret_key: secret })),
      ),
    );
    expect((await ofToloka().sync(desired)).create).toHaveLength(4);
  });

  test("onAny is every type that can be subscribed to", () => {
    const receiver = createReceiver(toloka, { secret });
    receiver.onAny(() => {});
    const types = desiredFrom(receiver, { url: URL_A, poolIds: ["1"] }).map(({ event_type }) => event_type);
    expect(types).toHaveLength(8);
    expect(types).not.toContain("TEST_EVENT");
  });

  test("for Prolific, forms of types and a URL", async () => {
    const receiver = createReceiver(prolific, { secret });
    receiver.on("study.status.change", () => {});
    const desired = desiredFrom(receiver, { url: HOOK_URL });
    expect(desired).toEqual([{ event_type: "study.status.change", target_url: HOOK_URL }]);
    expect((await ofProlific().sync(desired)).create).toEqual(desired);
  });

  test("mistakes are named", () => {
    const receiver = createReceiver(toloka, { secret });
    const make =
      (options: object, of: unknown = receiver) =>
      () =>
        desiredFrom(of as typeof receiver, { url: URL_A, poolIds, ...options });
    receiver.on("TEST_EVENT", () => {});
    expect(make({})).toThrow(/listens to nothing that can be subscribed to/);
    receiver.on("POOL_CLOSED", () => {});
    expect(make({ url: "example.com" })).toThrow(/url must be the whole URL/);
    expect(make({ poolIds: [] })).toThrow(/poolIds must be a list of pools/);
    expect(make({ poolIds: [1] })).toThrow(/poolIds\[0\] must be a string/);
    expect(make({ secret: "" })).toThrow(/secret must be a string that is not empty/);
    expect(make({}, { receiver })).toThrow(/Of a mounted webhook pass its receiver/);
    const hook = createReceiver(prolific, { secret });
    hook.onAny(() => {});
    expect(() => desiredFrom(hook, { url: "http://example.com" })).toThrow(/url must begin with "https:/);
  });
});

test("it needs nothing of Node's beside fetch", async () => {
  const { build } = await import("esbuild");
  const { metafile } = await build({
    stdin: { contents: 'export * from "@crowdhook/subscriptions"', resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
  });
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
});
