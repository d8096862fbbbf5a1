import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import type { DurableSink } from "@crowdhook/core/sink";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { tolokaWebhook as inExpress } from "@crowdhook/express";
import { tolokaWebhook as inFastify } from "@crowdhook/fastify";
import { mountInspector } from "@crowdhook/inspector";
import { tolokaWebhook as inKoa } from "@crowdhook/koa";
import express from "express";
import fastify from "fastify";
import Koa from "koa";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { inspectedApp, json, PROLIFIC_SECRET, TOLOKA_SECRET } from "./inspected.js";
import { request } from "./request.js";

const pool = (fields: object = {}) =>
  signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED", { ...fields })] });

describe("an export", () => {
  test("as curl sends the same bytes and headers, whatever quotes are in them", async () => {
    const app = await inspectedApp();
    const delivery = pool({ close_reason: `it's "$(id)" \`id\`` });
    await app.deliver({ ...delivery, headers: { ...delivery.headers, "x-note": "it's; $HOME" } });
    const { text } = await json(app.call("GET", "deliveries/1/export/curl"));
    const script = `curl() { printf '%s\\0' "$@"; }\n${text}`;
    const args = execFileSync("sh", ["-c", script]).toString().split("\0");
    expect(args.slice(0, 3)).toEqual(["-X", "POST", `${app.origin}/toloka-webhook`]);
    expect(args).toContain("x-note: it's; $HOME");
    expect(args).toContain(`toloka-signature: ${delivery.headers["toloka-signature"]}`);
    expect(args[args.indexOf("--data-binary") + 1]).toBe(delivery.body);
  });

  test.for([
    ["Toloka", () => pool(), "/toloka-webhook"],
    [
      "Prolific",
      () => signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") }),
      "/prolific-webhook",
    ],
  ] as const)("as a test of %s runs and passes against the app", async ([, delivery, path]) => {
    const app = await inspectedApp();
    await app.deliver(delivery(), path);
    const { text } = await json(app.call("GET", "deliveries/1/export/vitest"));
    const folder = mkdtempSync(join(import.meta.dirname, ".tmp-export-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    vi.stubEnv("TOLOKA_SECRET", TOLOKA_SECRET);
    vi.stubEnv("PROLIFIC_SECRET", PROLIFIC_SECRET);
    // The exported test runs inside this one, which vitest's own `test` refuses.
    const runnable = text
      .replace("{ expect, test }", "{ expect }")
      .replace("\ntest(", "\nconst test = (_name, run) => run();\nexport const result = test(");
    const file = join(folder, "exported.mjs");
    writeFileSync(file, runnable);
    await (await import(pathToFileURL(file).href)).result;
    expect((await json(app.call("GET", "deliveries/2"))).row.words).toMatch(/^Genuine/);
    vi.unstubAllEnvs();
  });
});

describe("the inspector in", () => {
  const secret = TOLOKA_SECRET;
  const listen = async (server: http.Server) => {
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
    return server;
  };
  const apps = {
    Express: async () => {
      const hook = inExpress(secret);
      return { hook, server: await listen(http.createServer(express().use(hook))) };
    },
    Koa: async () => {
      const hook = inKoa(secret);
      return { hook, server: await listen(http.createServer(new Koa().use(hook).callback())) };
    },
    Fastify: async () => {
      const app = fastify();
      await app.register(inFastify, { secret });
      await app.listen({ port: 0, host: "127.0.0.1" });
      return { hook: app.toloka, server: await listen(app.server) };
    },
  };

  test.for(Object.entries(apps))(
    "%s shows deliveries with their path, and leaves the app's other requests to it",
    async ([, start]) => {
      const { hook, server } = await start();
      const { url = "" } = mountInspector(server, hook);
      const [page = "", token = ""] = url.split("#token=");
      const { port } = server.address() as AddressInfo;
      const { headers, body } = pool();
      const origin = `http://127.0.0.1:${port}`;
      expect(
        (await request(origin, { path: "/toloka-webhook?a=1", headers: { ...headers }, body })).status,
      ).toBe(200);
      expect((await request(origin, { method: "GET", path: "/other" })).status).toBe(404);
      expect((await request(origin, { method: "GET", path: "/crowdhook-other" })).status).toBe(404);
      const answer = await request(page, {
        method: "GET",
        path: "/crowdhook/api/deliveries/1",
        headers: { "x-crowdhook-token": token },
      });
      expect(JSON.parse(answer.text)).toMatchObject({
        path: "/toloka-webhook?a=1",
        row: { words: "Genuine: 1 ignored" },
      });
      expect((await request(page, { method: "GET", path: "/crowdhook" })).headers.location).toBe(
        "/crowdhook/",
      );
    },
  );
});

describe("the memory of deliveries", () => {
  test("is bounded: the oldest go first", async () => {
    const app = await inspectedApp({ maxDeliveries: 3 });
    for (const uuid of ["1", "2", "3", "4", "5"]) await app.deliver(pool({ uuid }));
    expect((await app.call("GET", "deliveries/2")).status).toBe(404);
    expect((await app.call("GET", "deliveries/3")).status).toBe(200);
  });

  test("is bounded in bytes, too", async () => {
    const app = await inspectedApp();
    const text = "x".repeat(5_000_000);
    for (let i = 0; i < 15; i++) {
      await app.deliver(signToloka({ secret: TOLOKA_SECRET, body: JSON.stringify({ events: [], text }) }));
    }
    expect((await app.call("GET", "deliveries/2")).status).toBe(404);
    expect((await app.call("GET", "deliveries/15")).status).toBe(200);
  });
});

describe("failed events of a sink", () => {
  const letter = (id: string, type: string) => ({
    id: `toloka:${id}`,
    event: { provider: "toloka", type, id, occurredAt: undefined, data: {}, problems: [] } as never,
    error: `Error: ${TOLOKA_SECRET} is wrong`,
    attempts: 3,
    failedAt: new Date(0),
  });
  const sink = () => {
    const replayed: unknown[] = [];
    const failed = vi.fn(async () => [letter("1", "POOL_CLOSED"), letter("2", "POOL_CLOSED")]);
    const replay = async (what: unknown) => {
      replayed.push(what);
      return typeof what === "string" ? true : 2;
    };
    const blockedKeys = async () => ["pool_id:1"];
    return { failed, replayed, sink: { failed, replay, blockedKeys } as unknown as DurableSink };
  };

  test("are listed with error, attempts and blocked keys, and filtered", async () => {
    const { failed, sink: durable } = sink();
    const app = await inspectedApp({ sinks: [durable] });
    const listed = await json(app.call("GET", "sinks/0?provider=toloka&type=POOL_CLOSED"));
    expect(failed).toHaveBeenCalledWith({ provider: "toloka", type: "POOL_CLOSED", limit: 201 });
    expect(listed).toEqual({
      blockedKeys: ["pool_id:1"],
      hasMore: false,
      failed: ["1", "2"].map((id) => ({
        id: `toloka:${id}`,
        provider: "toloka",
        type: "POOL_CLOSED",
        error: "Error: [hidden] is wrong",
        attempts: 3,
        failedAt: 0,
      })),
    });
  });

  test("are replayed one by one, or all that match", async () => {
    const { replayed, sink: durable } = sink();
    const app = await inspectedApp({ sinks: [durable] });
    expect(await json(app.call("POST", "sinks/0/replay", { body: { id: "toloka:1" } }))).toEqual({
      count: 1,
    });
    expect(await json(app.call("POST", "sinks/0/replay", { body: { provider: "", type: "X" } }))).toEqual({
      count: 2,
    });
    expect((await app.call("POST", "sinks/0/replay", { body: { id: 1 } })).status).toBe(400);
    expect((await app.call("GET", "sinks/1")).status).toBe(404);
    expect(replayed).toEqual(["toloka:1", { type: "X" }]);
  });
});

test("the page takes less than 60 kB, compressed", async () => {
  const app = await inspectedApp();
  let size = 0;
  for (const path of ["", "app.js", "app.css"]) {
    const { text } = await request(app.origin, { method: "GET", path: `/crowdhook/${path}` });
    size += gzipSync(text).length;
  }
  console.log(`The page, gzip: ${(size / 1000).toFixed(1)} kB`);
  expect(size).toBeLessThan(60_000);
});

test("a delivery that is edited is signed with the secret that signed it first", async () => {
  const app = await inspectedApp();
  await app.deliver(signToloka({ secret: `old-${TOLOKA_SECRET}`, events: [tolokaEvent("POOL_CLOSED")] }));
  const body = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED", { close_reason: "EDITED" })] });
  await app.call("POST", "deliveries/1/replay", { body: { sign: true, body } });
  expect(await json(app.call("GET", "deliveries/2"))).toMatchObject({
    row: { verdict: "genuine", replayOf: 1 },
    signature: { secret: 1, secrets: 2 },
  });
});
