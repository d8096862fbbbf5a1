import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { collect, failureOf, skipWaits, startApis } from "./subscriptions-clients.js";
import type { Handler } from "./subscriptions-server.js";

const { tolokaApi, prolificApi, tolokaClient, prolificClient } = await startApis();

const MIB = 2 ** 20;
const JSON_TYPE = { "content-type": "application/json" };

/** Responds with a compressed body of 400 MiB in 0.4 MB. */
const bomb: Handler = (_, response) => {
  response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" });
  response.end(BOMB);
  return undefined;
};
const BOMB = gzipSync(Buffer.alloc(400 * MIB, " "), { level: 9 });

/** Responds with one chunk after another until the client hangs up. */
function endless(onEnd: () => void): Handler {
  return (_, response) => {
    response.writeHead(200, JSON_TYPE);
    const chunk = Buffer.alloc(64 * 1024, " ");
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", write).on("close", onEnd);
    write();
    return undefined;
  };
}

describe("a response body", () => {
  test("fails the call once it is over 10 MiB when decompressed, and takes little memory", async () => {
    expect(BOMB.byteLength).toBeLessThan(0.5 * MIB);
    for (const call of [() => tolokaClient().get("x"), () => prolificClient().secrets()]) {
      tolokaApi.nextHandlers.splice(0, 1, bomb);
      prolificApi.nextHandlers.splice(0, 1, bomb);
      const before = process.memoryUsage().rss;
      const error = await failureOf(call());
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
      expect(error).toMatchObject({ status: 200, code: "RESPONSE_TOO_LARGE" });
      expect(error.message).toContain("returned 200 with a body over 10 MiB: check baseUrl");
    }
    tolokaApi.nextHandlers.length = 0;
    prolificApi.nextHandlers.length = 0;
  });

  test("is not asked for again when it was too large", async () => {
    skipWaits();
    tolokaApi.nextHandlers.push(bomb);
    await failureOf(tolokaClient().get("x"));
    expect(tolokaApi.takeCalls()).toHaveLength(1);
  });

  test("is not read further when it has no end", async () => {
    const ended = new Promise<void>((resolve) => tolokaApi.nextHandlers.push(endless(resolve)));
    expect(await failureOf(tolokaClient().get("x"))).toMatchObject({ code: "RESPONSE_TOO_LARGE" });
    await ended;
  });

  test("fails the call in the same way when its status is an error", async () => {
    tolokaApi.nextHandlers.push((_, response) => {
      response.writeHead(400, { ...JSON_TYPE, "content-encoding": "gzip" });
      response.end(BOMB);
      return undefined;
    });
    expect(await failureOf(tolokaClient().get("x"))).toMatchObject({
      status: 400,
      code: "RESPONSE_TOO_LARGE",
    });
  });

  test("of nearly 10 MiB is read", async () => {
    tolokaApi.nextHandlers.push(() => ({
      status: 200,
      body: { items: [], has_more: false, padding: "x".repeat(9.9 * MIB) },
    }));
    expect(await collect(tolokaClient().list())).toEqual([]);
  });

  test("keeps characters whose bytes arrive in two chunks", async () => {
    const view = { id: "x", webhook_url: "https://example.com/é€🔑", event_type: "a", pool_id: "7" };
    const bytes = Buffer.from(JSON.stringify({ ...view, created: "2020-02-14T12:22:58" }));
    const fetch: typeof globalThis.fetch = async () => {
      const chunks = new ReadableStream({
        start(controller) {
          for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
          controller.close();
        },
      });
      return new Response(chunks, { headers: JSON_TYPE });
    };
    expect(await tolokaClient({ fetch }).get("x")).toMatchObject(view);
  });
});

describe("the error of a response", () => {
  const KEY = "test-key/+'&é";
  const SECRET = 's3cret-of-the-form "quoted" <é>';
  const spellings: readonly (readonly [string, (text: string) => string])[] = [
    ["escaped for JSON", (text) => JSON.stringify(text)],
    ["percent-encoded", encodeURIComponent],
    [
      "percent-encoded in lower case",
      (text) => encodeURIComponent(text).replace(/%../g, (part) => part.toLowerCase()),
    ],
    ["as in a form", (text) => new URLSearchParams([[text, text]]).toString()],
    ["in base64", (text) => Buffer.from(text).toString("base64")],
    ["in base64 behind a name", (text) => Buffer.from(`user:${text}`).toString("base64")],
    ["in base64url", (text) => Buffer.from(text).toString("base64url")],
    [
      "escaped for HTML",
      (text) =>
        text
          .replaceAll("&", "&amp;")
          .replaceAll('"', "&quot;")
          .replaceAll("<", "&lt;")
          .replaceAll("'", "&#x27;"),
    ],
    ["in hex", (text) => Buffer.from(text).toString("hex")],
  ];

  test.each(spellings)("hides the key and the secret %s", async (_, spell) => {
    const apiKey = KEY.replace("é", "e");
    const text = `${spell(apiKey)} and ${spell(SECRET)}`;
    tolokaApi.nextHandlers.push(() => ({
      status: 400,
      body: { code: text, message: text, request_id: text, payload: { [text]: [text] } },
    }));
    const form = { webhook_url: "https://example.com/", event_type: "a", pool_id: "7", secret_key: SECRET };
    const error = await failureOf(tolokaClient({ apiKey }).create(form));
    const shown = JSON.stringify([error.message, error]);
    expect(shown).toContain("[hidden]");
    for (const secret of [apiKey, SECRET])
      expect(shown).not.toContain(JSON.stringify(spell(secret)).slice(1, -1));
  });

  test("hides the token in the type of a body", async () => {
    prolificApi.nextHandlers.push((_, response) => {
      response.writeHead(200, { "content-type": "text/test-token" });
      response.end("not JSON");
      return undefined;
    });
    expect((await failureOf(prolificClient().secrets())).message).toContain("with text/[hidden], not JSON");
  });

  test("is a SubscriptionError when the body is nested deeply", async () => {
    const depth = 200_000;
    prolificApi.nextHandlers.push((_, response) => {
      response.writeHead(400, JSON_TYPE);
      response.end(`{"detail":${"[".repeat(depth)}${"]".repeat(depth)}}`);
      return undefined;
    });
    expect(await failureOf(prolificClient().secrets())).toMatchObject({ status: 400 });
  });
});
