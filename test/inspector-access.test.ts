import http from "node:http";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type Authorize, mountInspector } from "@crowdhook/inspector";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inspectedApp, json, PROLIFIC_SECRET, TOLOKA_SECRET } from "./inspected.js";
import { request } from "./request.js";

afterEach(() => vi.unstubAllEnvs());

const PAGE = "/crowdhook/";

describe("without authorize, the inspector", () => {
  test.for([
    ["no token", { "x-crowdhook-token": "" }, 401],
    ["a guessed token", { "x-crowdhook-token": "a".repeat(32) }, 401],
    ["the beginning of the token", { "x-crowdhook-token": "cut" }, 401],
    ["a rebound name as Host", { host: "evil.example:3000" }, 403],
    ["a name that begins with localhost", { host: "localhost.evil.example" }, 403],
    ["a Host that is none", { host: "[" }, 403],
    ["another site as Origin", { origin: "http://evil.example" }, 403],
    ["another port as Origin", { origin: "http://127.0.0.1:1" }, 403],
    ["the Origin null of a sandboxed frame", { origin: "null" }, 403],
    ["a request from another site", { "sec-fetch-site": "cross-site" }, 403],
    ["a request from another port", { "sec-fetch-site": "same-site" }, 403],
  ] as const)("refuses a call with %s", async ([, headers, status]) => {
    const app = await inspectedApp();
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED")] }));
    const given: Record<string, string> = { ...headers };
    if (given["x-crowdhook-token"] === "cut") given["x-crowdhook-token"] = app.token.slice(0, -1);
    for (const call of ["state", "deliveries/1", "deliveries/1/body", "stream"]) {
      const answer = await app.call("GET", call, { headers: given });
      expect(answer.status).toBe(status);
      expect(answer.text).not.toContain("POOL_CLOSED");
      expect(answer.text).not.toContain(app.token);
    }
    const handled: unknown[] = [];
    app.toloka.onAny((event) => handled.push(event));
    expect(
      (await app.call("POST", "deliveries/1/replay", { headers: given, body: { sign: true } })).status,
    ).toBe(status);
    expect(handled).toEqual([]);
  });

  test("answers a call with the token from its own page", async () => {
    const app = await inspectedApp();
    expect((await app.call("GET", "state")).status).toBe(200);
    expect((await app.call("GET", "state", { headers: { origin: app.origin } })).status).toBe(200);
    expect((await app.call("GET", "state", { headers: { "sec-fetch-site": "same-origin" } })).status).toBe(
      200,
    );
  });

  test("refuses a POST that a form of another site can send", async () => {
    const app = await inspectedApp();
    const path = `${PAGE}api/send`;
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const headers = { "content-type": type, origin: "http://evil.example" };
      expect((await request(app.origin, { path, headers, body: "{}" })).status).toBe(403);
      // Even if a browser sent no Origin.
      expect(
        (await request(app.origin, { path, headers: { "content-type": type }, body: "{}" })).status,
      ).toBe(401);
      expect((await app.call("POST", "send", { headers: { "content-type": type } })).status).toBe(415);
    }
  });

  test("refuses the page under another host name", async () => {
    const app = await inspectedApp();
    const answer = await request(app.origin, {
      method: "GET",
      path: PAGE,
      headers: { host: "evil.example" },
    });
    expect(answer.status).toBe(403);
  });

  test("refuses requests that come from another machine", async () => {
    const app = await inspectedApp();
    app.server.prependListener("connection", (socket) => {
      Object.defineProperty(socket, "remoteAddress", { value: "192.0.2.1" });
    });
    expect((await app.call("GET", "state")).status).toBe(403);
  });

  test("answers with a strict policy: nothing inline, nothing from elsewhere, nothing framed or sniffed", async () => {
    const app = await inspectedApp();
    for (const path of ["", "app.js", "app.css", "api/state", "nothing"]) {
      const { headers } = await request(app.origin, { method: "GET", path: PAGE + path });
      const policy = String(headers["content-security-policy"]);
      expect(policy).toMatch(/^default-src 'none'; script-src 'self';/);
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
    const page = await request(app.origin, { method: "GET", path: PAGE });
    expect(page.text).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bon\w+=|https?:\/\//);
  });

  test("sends a body as a download, never as a page", async () => {
    const app = await inspectedApp();
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, body: "<script>alert(1)</script>" }));
    const { headers } = await app.call("GET", "deliveries/1/body");
    expect(headers["content-type"]).toBe("application/octet-stream");
    expect(headers["content-disposition"]).toBe("attachment");
  });
});

describe("with authorize, the inspector", () => {
  test.for<readonly [string, Authorize, number]>([
    ["true", () => true, 200],
    ["a promise of true", async () => true, 200],
    ["false", () => false, 403],
    ["a truthy value that is not true", () => "yes" as never, 403],
    ["an error", () => Promise.reject(new Error("down")), 403],
  ])("asks it for the page and each call: %s", async ([, authorize, status]) => {
    vi.stubEnv("NODE_ENV", "production");
    const app = await inspectedApp({ authorize });
    const headers = { host: "hooks.example" };
    expect((await request(app.origin, { method: "GET", path: PAGE, headers })).status).toBe(status);
    expect((await app.call("GET", "state", { headers })).status).toBe(status);
  });

  test("still refuses another site, which has the reader's cookies", async () => {
    const app = await inspectedApp({ authorize: () => true });
    const headers = { host: "hooks.example", origin: "http://evil.example" };
    expect((await app.call("POST", "send", { headers, body: {} })).status).toBe(403);
    expect((await request(app.origin, { method: "GET", path: `${PAGE}api/state` })).status).toBe(401);
  });

  test("shows the kind of an error in production, not its message and stack", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const app = await inspectedApp({ authorize: () => true });
    app.toloka.on("POOL_CLOSED", () => {
      throw new RangeError("row 7 of customer 3");
    });
    await app.deliver(signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED")] }));
    const { events } = await json(app.call("GET", "deliveries/1/events"));
    expect(events[0].error).toBe("RangeError");
  });
});

describe("mountInspector", () => {
  const server = http.createServer();
  const receiver = createReceiver(toloka, { secret: "12345" });

  test("refuses to start in production without authorize", () => {
    vi.stubEnv("NODE_ENV", "production");
    expect(() => mountInspector(server, receiver)).toThrow(
      "mountInspector shows payloads, and NODE_ENV is production. Pass { authorize: (request) => boolean }, or do not mount it.",
    );
  });

  test.for([
    ["no server", () => mountInspector(undefined as never, receiver), /takes a server of node:http first/],
    [
      "a receiver that is none",
      () => mountInspector(server, {} as never),
      /takes receivers, or what an adapter returned/,
    ],
    [
      "a misspelt option",
      () => mountInspector(server, receiver, { pth: "" } as never),
      /has no option pth. Did you mean path\?/,
    ],
    [
      "a path without a slash",
      () => mountInspector(server, receiver, { path: "ui" }),
      /path must begin with a slash/,
    ],
    [
      "a short token",
      () => mountInspector(server, receiver, { token: "short" }),
      /token must have at least 16/,
    ],
    [
      "an authorize that is no function",
      () => mountInspector(server, receiver, { authorize: true as never }),
      /authorize must be a function/,
    ],
  ] as const)("refuses %s, and names the fix", ([, mount, message]) => {
    expect(mount).toThrow(message);
  });

  test("gives the path back to the app after close, and watches no more", async () => {
    const app = await inspectedApp();
    app.inspector.close();
    expect((await request(app.origin, { method: "GET", path: PAGE })).text).not.toContain("<!doctype html>");
  });
});

test("no secret is in any answer, wherever a sender or the app puts it", async () => {
  const app = await inspectedApp();
  app.toloka.onAny(() => {
    throw new Error(`signing with ${TOLOKA_SECRET} failed`);
  });
  const hostile = {
    ...signToloka({
      secret: TOLOKA_SECRET,
      events: [tolokaEvent("POOL_CLOSED", { close_reason: TOLOKA_SECRET, pool_id: PROLIFIC_SECRET })],
    }),
  };
  const encoded = Buffer.from(TOLOKA_SECRET).toString("base64");
  const headers = {
    ...hostile.headers,
    "x-note": TOLOKA_SECRET,
    "x-encoded": encoded,
    authorization: "Basic abc",
  };
  await app.deliver({ headers, body: hostile.body });
  const calls = ["", "/body", "/events", "/export/curl", "/export/vitest", "/export/file"];
  const answers = await Promise.all(calls.map((call) => app.call("GET", `deliveries/1${call}`)));
  answers.push(await app.call("GET", "state"), await app.call("GET", "compare?a=1&b=1"));
  for (const { status, text } of answers) {
    expect(status).toBe(200);
    for (const secret of [TOLOKA_SECRET, PROLIFIC_SECRET, encoded, "Basic abc"])
      expect(text).not.toContain(secret);
  }
  expect(answers[0]?.text).toContain("[hidden]");
});
