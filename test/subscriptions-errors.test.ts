import { describe, expect, test, vi } from "vitest";
import {
  collect,
  disconnect,
  failureOf,
  form,
  hang,
  skipWaits,
  startApis,
  status,
} from "./subscriptions-clients.js";
import { startApiServer } from "./subscriptions-server.js";

const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();

describe("SubscriptionError", () => {
  test("an error has the code, message, request id and payload of Toloka's response", async () => {
    const body = {
      request_id: "r-1",
      code: "VALIDATION_ERROR",
      message: "secret_key s3cret-of-the-form is too short",
      payload: { secret_key: { value: "s3cret-of-the-form" }, key: ["ApiKey test-key"] },
    };
    tolokaApi.nextHandlers.push(() => ({ status: 400, body }));
    const sent = { ...form("POOL_CLOSED"), secret_key: "s3cret-of-the-form" };
    const error = await failureOf(tolokaClient().create(sent));
    expect(error).toMatchObject({
      name: "SubscriptionError",
      provider: "toloka",
      status: 400,
      code: "VALIDATION_ERROR",
      requestId: "r-1",
      payload: { secret_key: { value: "[hidden]" }, key: ["ApiKey [hidden]"] },
    });
    expect(error.message).toBe(
      "Toloka: PUT /webhook-subscriptions returned 400, VALIDATION_ERROR: secret_key [hidden] is too short; request r-1",
    );
  });

  test("an error asks for a check of the API key when the status is 401", async () => {
    const error = await failureOf(tolokaClient({ apiKey: "wrong-test-key" }).get("x"));
    expect(error).toMatchObject({ status: 401, code: "AUTHENTICATION_FAILED" });
    expect(error.message).toContain("check the API key, and that it belongs to this environment");
    expect(await failureOf(prolificClient({ token: "wrong" }).secrets())).toMatchObject({
      status: 401,
      code: "140401",
    });
  });

  test("a call times out when the response or its body does not arrive", async () => {
    tolokaApi.nextHandlers.push(hang, (_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
      return undefined;
    });
    for (const _ of [1, 2]) {
      const error = await failureOf(tolokaClient({ timeout: 0.1, retries: 0 }).get("x"));
      expect(error).toMatchObject({ code: "TIMEOUT" });
      expect(error.status).toBeUndefined();
      expect(error.message).toBe("Toloka: GET /webhook-subscriptions/x timed out after 0.1 seconds.");
    }
    prolificApi.nextHandlers.push(hang);
    const error = await failureOf(prolificClient({ timeout: 0.1 }).createSecret());
    expect(error.message).toContain("It was not retried, because it may have succeeded.");
  });

  test("a call is retried after a time-out when it is idempotent", async () => {
    skipWaits(200);
    tolokaApi.nextHandlers.push(hang);
    expect(await collect(tolokaClient({ timeout: 0.2 }).list())).toEqual([]);
    expect(tolokaApi.takeCalls()).toHaveLength(2);
  });

  test("an error has the network's code when the connection is lost or refused", async () => {
    skipWaits();
    tolokaApi.nextHandlers.push(disconnect, disconnect);
    const error = await failureOf(tolokaClient({ retries: 1 }).get("x"));
    expect(error.message).toMatch(/got no response: (UND_ERR_SOCKET|ECONNRESET) \(2 attempts\)\.$/);
    const gone = await startApiServer(hang);
    await gone.close();
    const refused = await failureOf(tolokaClient({ baseUrl: gone.baseUrl, retries: 0 }).get("x"));
    expect(refused.code).toBe("ECONNREFUSED");
  });

  test("an error shows no secret when fetch throws an error that holds the request", async () => {
    const fetch = vi.fn(async (...args: unknown[]) => {
      throw Object.assign(new Error(`failed: ${JSON.stringify(args)}`), { request: args, cause: { args } });
    });
    const error = await failureOf(tolokaClient({ fetch, retries: 0 }).get("x"));
    expect(error.code).toBe("UNREACHABLE");
    await failureOf(prolificClient({ fetch, retries: 0 }).confirm("x", "hook-secret-of-x"));
  });

  test.each([
    ["a proxy", 200, "malformed response|not JSON: check baseUrl"],
    ["a gateway", 404, "404 with text/html, not JSON"],
    ["a login page", 403, "check the permissions"],
  ])("an error does not quote the HTML of %s", async (_, code, expected) => {
    for (const call of [() => tolokaClient().get("x"), () => tolokaClient().delete("x")]) {
      tolokaApi.nextHandlers.push(() => ({ status: code, body: "<html>ApiKey test-key</html>" }));
      const error = await failureOf(call());
      expect(error).toMatchObject({ status: code, code: "RESPONSE_MALFORMED" });
      expect(error.message).toMatch(new RegExp(expected));
      expect(error.message).not.toContain("<html>");
    }
  });

  test("a redirect is not followed", async () => {
    tolokaApi.nextHandlers.push(status(301, { location: "http://127.0.0.1:9/" }));
    const error = await failureOf(tolokaClient().create(form("POOL_CLOSED")));
    expect(error.message).toContain("redirects are not followed, check baseUrl");
    expect(tolokaApi.takeCalls()).toHaveLength(1);
  });

  const view = { ...form("POOL_CLOSED"), id: "x", created: "2020-02-14T12:22:58" };
  test.each<[string, unknown, () => Promise<unknown>, string]>([
    ["no id", { ...view, id: undefined }, () => tolokaClient().get("x"), "id: expected string"],
    [
      "a number for pool_id",
      { ...view, pool_id: 7 },
      () => tolokaClient().create(form("a")),
      "pool_id: expected string",
    ],
    [
      "a word for a time",
      { ...view, created: "today" },
      () => tolokaClient().get("x"),
      "created: expected ISO 8601",
    ],
    [
      "30 February",
      { ...view, created: "2020-02-30T12:22:58" },
      () => tolokaClient().get("x"),
      "created: expected ISO 8601",
    ],
    [
      "two subscriptions for one form",
      [view, view],
      () => tolokaClient().create(form("a")),
      "the body: expected object",
    ],
    ["null", null, () => tolokaClient().get("x"), "the body: expected object"],
    ["no body", undefined, () => tolokaClient().get("x"), "the body: expected object"],
    ["an array for a page", [view], () => collect(tolokaClient().list()), "the body: expected object"],
    ["no has_more", { items: [view] }, () => collect(tolokaClient().list()), "has_more: expected boolean"],
    [
      "a broken item",
      { items: [view, {}], has_more: false },
      () => collect(tolokaClient().list()),
      "items.1.id: expected string",
    ],
    [
      "no outcome for a form",
      { items: {} },
      () => tolokaClient().createMany([form("a")]),
      "items.0: expected object",
    ],
    [
      "an array of items",
      { items: [view] },
      () => tolokaClient().createMany([form("a")]),
      "items: expected record",
    ],
    ["a string for success", { success: "yes" }, () => tolokaClient().test("x"), "success: expected boolean"],
  ])("an error names the field when Toloka's response has %s", async (_, body, call, expected) => {
    tolokaApi.nextHandlers.push(() => ({ status: 200, body }));
    const error = await failureOf(call());
    expect(error.code).toBe("RESPONSE_MALFORMED");
    expect(error.message).toContain(expected);
  });

  test.each<[unknown, () => Promise<unknown>, string]>([
    [{ results: [{}] }, () => prolificClient().eventTypes(), "results.0.event_type: expected string"],
    [{ results: {} }, () => collect(prolificClient().list()), "results: expected array"],
    [{ id: "s" }, () => prolificClient().createSecret(), "value: expected string"],
    [{ id: "h" }, () => prolificClient().get("h"), "event_type: expected string"],
  ])("an error names the field when Prolific's response is %j", async (body, call, expected) => {
    prolificApi.nextHandlers.push(() => ({ status: 200, body }));
    expect((await failureOf(call())).message).toContain(expected);
  });
});
