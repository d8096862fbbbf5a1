import { createProlificSubscriptions, createTolokaSubscriptions } from "@crowdhook/subscriptions";
import { describe, expect, test } from "vitest";
import { form, PROLIFIC_URL, startApis, WORKSPACE } from "./subscriptions-clients.js";

const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();

describe("checks of options and arguments", () => {
  const apiKey = "test-key";
  const create = (options: object) => () => createTolokaSubscriptions(options);
  const createIn = (options: object) => () =>
    createProlificSubscriptions({ token: "test-token", workspaceId: WORKSPACE, ...options });

  test.each<[string, () => unknown, RegExp]>([
    ["no key", create({}), /apiKey must be a string, not undefined.*TOLOKA_API_KEY is set/],
    ["an empty key", create({ apiKey: "" }), /apiKey is empty/],
    ["both keys", create({ apiKey, oauthToken: "x" }), /Pass one of them/],
    ["a line break in the key", create({ apiKey: `${apiKey}\n` }), /apiKey contains white space.*Trim it/],
    ["the scheme in the key", create({ apiKey: `ApiKey ${apiKey}` }), /without "ApiKey"/],
    ["a key that is not ASCII", create({ oauthToken: `${apiKey}…` }), /oauthToken contains characters/],
    [
      "a slash at the end of baseUrl",
      create({ apiKey, baseUrl: "https://example.com/" }),
      /baseUrl ends with a slash/,
    ],
    ["a query in baseUrl", create({ apiKey, baseUrl: "https://example.com/v1?a=1" }), /baseUrl has a query/],
    [
      "a password in baseUrl",
      create({ apiKey, baseUrl: "https://me:test-key@example.com" }),
      /baseUrl contains a user name/,
    ],
    [
      "a baseUrl without a scheme",
      create({ apiKey, baseUrl: "toloka.dev" }),
      /baseUrl is not an http or https URL/,
    ],
    [
      "baseUrl and sandbox",
      create({ apiKey, baseUrl: "https://example.com", sandbox: true }),
      /baseUrl and sandbox are both set/,
    ],
    [
      "sandbox and yandexTasks",
      create({ oauthToken: "t", sandbox: true, yandexTasks: true }),
      /sandbox and yandexTasks are both set/,
    ],
    ["an API key for Yandex Tasks", create({ apiKey, yandexTasks: true }), /Pass oauthToken/],
    ["a string for sandbox", create({ apiKey, sandbox: "false" }), /sandbox must be true or false/],
    ["a timeout of 0", create({ apiKey, timeout: 0 }), /timeout must be a number of seconds/],
    ["a timeout in milliseconds", create({ apiKey, timeout: 10_000 }), /at most 3600, not 10000/],
    ["half a retry", create({ apiKey, retries: 0.5 }), /retries must be a whole number/],
    ["an object for fetch", create({ apiKey, fetch: {} }), /fetch must be a function/],
    ["no token", createIn({ token: undefined }), /token must be a string, not undefined.*PROLIFIC_TOKEN/],
    ["white space in the token", createIn({ token: " test-token" }), /token contains white space/],
    ["no workspace", createIn({ workspaceId: undefined }), /workspaceId must be 1 to 255 letters, digits/],
  ])("a client is not created with %s", (_, make, message) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
    expect(make).not.toThrow(/test-key|test-token/);
  });

  const wanted = { event_type: "a", target_url: PROLIFIC_URL };
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["an empty id", () => tolokaClient().delete(""), /id must be 1 to 255 letters, digits/],
    ["an id of dots", () => tolokaClient().get(".."), /id must be 1 to 255 letters, digits/],
    ["an id with a slash", () => prolificClient().delete("a/b"), /id must be 1 to 255 letters, digits/],
    [
      "a relative URL",
      () => tolokaClient().create({ ...form("a"), webhook_url: "/hook" }),
      /webhook_url must be the full URL/,
    ],
    ["an empty type", () => tolokaClient().create(form("")), /event_type must not be empty/],
    [
      "a number for a pool",
      () => tolokaClient().createMany([form("a", 7 as never)]),
      /\[0\]\.pool_id.*not number/,
    ],
    ["a line break in a secret", () => tolokaClient().create({ ...form("a"), secret_key: "s\n" }), /Trim it/],
    [
      "two secrets for one subscription",
      () => tolokaClient().sync([form("a"), { ...form("a"), secret_key: "s" }]),
      /desired twice with different secrets/,
    ],
    [
      "an http URL for Prolific",
      () => prolificClient().subscribe({ ...wanted, target_url: "http://example.com/hook?token=test-token" }),
      /target_url must begin with "https:\/\/".*Its origin is http:\/\/example\.com\.$/,
    ],
    [
      "an http URL in a sync",
      () => prolificClient().sync([{ ...wanted, target_url: "http://a" }]),
      /\[0\]\.target_url/,
    ],
    [
      "an empty secret for a confirmation",
      () => prolificClient().confirm("x", ""),
      /secret must not be empty/,
    ],
  ])("a call with %s is refused before anything is sent", async (_, call, message) => {
    const error = await call().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TypeError);
    expect(String(error)).toMatch(message);
    expect([...tolokaApi.requests, ...prolificApi.requests]).toEqual([]);
  });
});
