import { describe, expect, test } from "vitest";
import {
  collect,
  disconnect,
  failureOf,
  form,
  PROLIFIC_URL,
  skipWaits,
  startApis,
  status,
} from "./subscriptions-clients.js";
import { hookSecretOf } from "./subscriptions-prolific-api.js";
import type { Handler } from "./subscriptions-server.js";

const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();

describe("retries", () => {
  test("a client waits as long as Retry-After says, in seconds or until a date", async () => {
    const waits = skipWaits();
    const date = new Date(Date.now() + 30_000).toUTCString();
    tolokaApi.nextHandlers.push(status(429, { "retry-after": "7" }), status(429, { "retry-after": date }));
    expect(await collect(tolokaClient().list())).toEqual([]);
    expect(tolokaApi.takeCalls()).toHaveLength(3);
    expect(waits[0]).toBe(7_000);
    expect(waits[1]).toBeGreaterThan(25_000);
    expect(waits[1]).toBeLessThanOrEqual(30_000);
  });

  test("a client doubles its wait, with jitter, when Retry-After is missing or unreadable", async () => {
    const waits = skipWaits();
    tolokaApi.nextHandlers.push(
      status(503),
      status(429, { "retry-after": "soon" }),
      status(502),
      status(500),
    );
    expect(await collect(tolokaClient().list())).toEqual([]);
    expect(waits).toHaveLength(4);
    for (const [index, longest] of [500, 1_000, 2_000, 4_000].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(longest / 2);
      expect(waits[index]).toBeLessThanOrEqual(longest);
    }
  });

  test.each(["3600", "61", "99999999999999999999", new Date(Date.now() + 3_600_000).toUTCString()])(
    "a client waits a minute when Retry-After asks for longer: %s",
    async (header) => {
      const waits = skipWaits();
      tolokaApi.nextHandlers.push(status(503, { "retry-after": header }));
      expect(await collect(tolokaClient().list())).toEqual([]);
      expect(waits).toEqual([60_000]);
    },
  );

  test.each(["0", "00", new Date(0).toUTCString()])(
    "a client waits for its backoff when Retry-After asks for less: %s",
    async (header) => {
      const waits = skipWaits();
      tolokaApi.nextHandlers.push(status(429, { "retry-after": header }));
      expect(await collect(tolokaClient().list())).toEqual([]);
      expect(waits).toHaveLength(1);
      expect(waits[0]).toBeGreaterThanOrEqual(250);
      expect(waits[0]).toBeLessThanOrEqual(500);
    },
  );

  test.each([
    ...["1e3", "0x10", "-5", "1.5", "+7", "7 s", "7, 7", "Infinity", "NaN"],
    // Later than now, but not in the form that RFC 9110 has senders write.
    ...[
      "2099-01-01",
      "2099-01-01T00:00:00Z",
      "Thu Jan 01 2099 00:00:00 GMT+0000",
      "01 Jan 2099 00:00:00 GMT",
    ],
    ...["Thursday, 01-Jan-99 00:00:00 GMT", "Thu Jan  1 00:00:00 2099", "Thu, 01 Jan 2099 00:00:00 UTC"],
    ...["Thu, 1 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 2099 24:00:00 GMT", "thu, 01 jan 2099 00:00:00 gmt"],
  ])("a client ignores the Retry-After %j", async (header) => {
    const waits = skipWaits();
    const fetch: typeof globalThis.fetch = async () =>
      ({
        status: 503,
        ok: false,
        headers: { get: (name: string) => (name === "retry-after" ? header : null) },
        text: async () => "{}",
      }) as unknown as Response;
    const error = await failureOf(tolokaClient({ fetch, retries: 1 }).get("x"));
    expect(error.status).toBe(503);
    expect(error.message).not.toContain("Retry-After");
    expect(waits).toHaveLength(1);
    expect(waits[0]).toBeLessThanOrEqual(500);
  });

  test("a client gives up after the given number of retries", async () => {
    skipWaits();
    for (let i = 0; i < 3; i++) tolokaApi.nextHandlers.push(status(429, { "retry-after": "0" }));
    expect((await failureOf(tolokaClient({ retries: 2 }).get("x"))).status).toBe(429);
    expect(tolokaApi.takeCalls()).toHaveLength(3);
    tolokaApi.nextHandlers.push(status(429));
    await failureOf(tolokaClient({ retries: 0 }).get("x"));
    expect(tolokaApi.takeCalls()).toHaveLength(1);
  });

  const FAULTS: [string, Handler][] = [
    ["503", status(503)],
    ["500", status(500)],
    ["a lost connection", disconnect],
    [
      "a truncated response",
      (_, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write('{"items":', () => response.destroy());
        return undefined;
      },
    ],
  ];

  test.each(FAULTS)("an idempotent call is retried after %s", async (_, fault) => {
    skipWaits();
    const id = tolokaApi.add(form("POOL_CLOSED"));
    const hook = prolificApi.add({ event_type: "a", target_url: PROLIFIC_URL });
    const calls: (() => Promise<unknown>)[] = [
      () => tolokaClient().create(form("POOL_CLOSED")),
      () => tolokaClient().createMany([form("POOL_CLOSED")]),
      () => tolokaClient().get(id),
      () => tolokaClient().delete(id),
      () => prolificClient().eventTypes(),
      () => prolificClient().secrets(),
      () => prolificClient().confirm(hook, hookSecretOf(hook)),
      () => prolificClient().enable(hook),
      () => prolificClient().delete(hook),
    ];
    for (const call of calls) {
      tolokaApi.nextHandlers.splice(0, 1, fault);
      prolificApi.nextHandlers.splice(0, 1, fault);
      await call();
      expect(tolokaApi.takeCalls().length + prolificApi.takeCalls().length).toBe(2);
    }
    tolokaApi.nextHandlers.length = 0;
    prolificApi.nextHandlers.length = 0;
  });

  test.each(FAULTS)("a call that is not idempotent is not retried after %s", async (_, fault) => {
    skipWaits();
    const id = tolokaApi.add(form("POOL_CLOSED"));
    tolokaApi.nextHandlers.push(fault);
    await failureOf(tolokaClient().test(id));
    expect(tolokaApi.takeCalls()).toHaveLength(1);
    prolificApi.nextHandlers.push(fault, fault);
    await failureOf(prolificClient().subscribe({ event_type: "a", target_url: PROLIFIC_URL }));
    await failureOf(prolificClient().createSecret());
    expect(prolificApi.takeCalls()).toHaveLength(2);
  });

  test("every call is retried after 429", async () => {
    skipWaits();
    const id = tolokaApi.add(form("POOL_CLOSED"));
    tolokaApi.nextHandlers.push(status(429));
    expect((await tolokaClient().test(id)).success).toBe(false);
    prolificApi.nextHandlers.push(status(429));
    await prolificClient().subscribe({ event_type: "a", target_url: PROLIFIC_URL });
    prolificApi.nextHandlers.push(status(429));
    await prolificClient().createSecret();
    expect(tolokaApi.takeCalls()).toHaveLength(2);
    expect(prolificApi.takeCalls()).toHaveLength(5);
    expect(prolificApi.subscriptions.size).toBe(1);
  });

  test("delete returns true when an attempt without a response deleted the subscription", async () => {
    skipWaits();
    const id = tolokaApi.add(form("POOL_CLOSED"));
    const deleting: Handler = (seen, response) => {
      tolokaApi.subscriptions.delete(id);
      return disconnect(seen, response);
    };
    tolokaApi.nextHandlers.push(deleting);
    expect(await tolokaClient().delete(id, { mustExist: true })).toBe(true);
    tolokaApi.nextHandlers.push(status(429));
    expect(await tolokaClient().delete(id)).toBe(false);
  });

  test("no call is retried after 400", async () => {
    tolokaApi.nextHandlers.push(status(400));
    await failureOf(tolokaClient().get("x"));
    expect(tolokaApi.takeCalls()).toHaveLength(1);
  });
});
