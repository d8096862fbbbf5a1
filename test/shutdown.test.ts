import { once } from "node:events";
import http from "node:http";
import { createReceiver } from "@crowdhook/core";
import { shutdownGracefully as fromCore } from "@crowdhook/core/adapter";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import * as expressAdapter from "@crowdhook/express";
import * as fastifyAdapter from "@crowdhook/fastify";
import * as koaAdapter from "@crowdhook/koa";
import { shutdownGracefully, tolokaWebhook, trackReplies } from "@crowdhook/node";
import { afterEach, describe, expect, test, vi } from "vitest";
import { listen } from "./targets.js";
import { connect, headOf, requestOf, type Wire } from "./wire.js";

const SECRET = "12345";
const delivery = () => requestOf(signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] }));

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

/** A webhook whose listener waits for `release`, beside a route of the app's own that waits for `answer`. */
async function serve({ isTracked = true } = {}) {
  const webhook = tolokaWebhook(SECRET);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const begun = new Promise<void>((resolve) => {
    webhook.on("POOL_CLOSED", () => {
      resolve();
      return released;
    });
  });
  let answer = () => {};
  let reachOwn = () => {};
  const ownBegun = new Promise<void>((resolve) => {
    reachOwn = resolve;
  });
  const { server, origin, close } = await listen((request, response) => {
    if (request.url !== "/own") return void webhook(request, response);
    answer = () => response.end("{}");
    reachOwn();
  });
  cleanUps.push(close);
  if (isTracked) trackReplies(server);
  const open = async () => {
    const accepted = once(server, "connection");
    const wire = await connect(Number(new URL(origin).port));
    await accepted;
    return wire;
  };
  return { webhook, server, begun, ownBegun, release, answer: () => answer(), open };
}

/** Whether a promise is settled after everything that is due now has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.finally(() => {
    settled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

const closed = (wire: Wire) => wire.rest;

describe("shutdownGracefully", () => {
  test("answers a delivery in flight, and tells its sender that the connection ends", async () => {
    const { webhook, server, begun, release, open } = await serve();
    const wire = await open();
    wire.write(delivery());
    await begun;
    const done = shutdownGracefully(server, [webhook]);
    expect(await isSettled(done)).toBe(false);
    release();
    await done;
    const text = await closed(wire);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toMatch(/^connection: close\r$/im);
    expect(text).toContain('"handled":1');
  });

  test("waits for a delivery whose body is still arriving", async () => {
    const { webhook, server, release, open } = await serve();
    const wire = await open();
    const request = delivery();
    const half = request.length - 20;
    const begun = once(server, "request");
    wire.write(request.slice(0, half));
    await begun;
    const done = shutdownGracefully(server, [webhook]);
    wire.write(request.slice(half));
    release();
    await done;
    expect(await closed(wire)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("answers a new delivery on an open connection with 503, and closes that connection", async () => {
    const { webhook, server, begun, release, open } = await serve();
    const [first, second] = [await open(), await open()];
    first.write(delivery());
    await begun;
    // The head is there before the shutdown begins, the rest of it after.
    const request = delivery();
    second.write(request.slice(0, 10));
    const done = shutdownGracefully(server, [webhook]);
    second.write(request.slice(10));
    const text = await closed(second);
    expect(text).toMatch(/^HTTP\/1\.1 503 /);
    expect(text).toMatch(/^connection: close\r$/im);
    expect(text).toContain("SHUTTING_DOWN");
    expect(await isSettled(done)).toBe(false);
    release();
    await done;
  });

  test("accepts no new connection", async () => {
    const { webhook, server, begun, release, open } = await serve();
    const wire = await open();
    wire.write(delivery());
    await begun;
    const done = shutdownGracefully(server, [webhook]);
    await expect(open()).rejects.toThrow(/ECONNREFUSED/);
    release();
    await done;
  });

  test("closes idle keep-alive connections, and those on which nothing was ever sent", async () => {
    const { webhook, server, release, open } = await serve();
    release();
    const [idle, silent] = [await open(), await open()];
    idle.write(delivery());
    expect(await idle.replies(1)).toMatchObject([{ status: 200 }]);
    await shutdownGracefully(server, [webhook]);
    await Promise.all([closed(idle), closed(silent)]);
    expect(server.listening).toBe(false);
  });

  test("waits for the answer of the app's own route", async () => {
    const { webhook, server, ownBegun, answer, open } = await serve();
    const wire = await open();
    wire.write("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
    await ownBegun;
    const done = shutdownGracefully(server, [webhook]);
    expect(await isSettled(done)).toBe(false);
    answer();
    await done;
    expect(await closed(wire)).toMatch(/^connection: close\r$/im);
  });

  test("cuts connections after the timeout if a listener hangs", async () => {
    const { webhook, server, begun, open } = await serve();
    const wire = await open();
    wire.write(delivery());
    await begun;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const done = shutdownGracefully(server, [webhook], { timeout: 20 });
    vi.advanceTimersByTime(19_999);
    expect(await isSettled(done)).toBe(false);
    vi.advanceTimersByTime(1);
    await done;
    expect(await closed(wire)).toBe("");
  });

  test("cuts connections after ten seconds by default if a body never ends", async () => {
    const { webhook, server, open } = await serve();
    const wire = await open();
    const begun = once(server, "request");
    wire.write(headOf({ "content-length": "100" }));
    await begun;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const done = shutdownGracefully(server, [webhook]);
    vi.advanceTimersByTime(9_999);
    expect(await isSettled(done)).toBe(false);
    vi.advanceTimersByTime(1);
    await done;
    expect(await closed(wire)).toBe("");
  });

  test("leaves no timer behind", async () => {
    const { webhook, server } = await serve();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await shutdownGracefully(server, [webhook]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("closes webhooks and receivers of the list", async () => {
    const { webhook, server } = await serve();
    const receiver = createReceiver(toloka, { secret: SECRET });
    await shutdownGracefully(server, [webhook, receiver]);
    const signed = signToloka({ secret: SECRET });
    for (const each of [webhook.receiver, receiver]) expect((await each.handle(signed)).status).toBe(503);
  });

  test("closes the receivers of a server that is not listening", async () => {
    const webhook = tolokaWebhook(SECRET);
    await shutdownGracefully(http.createServer(webhook), [webhook]);
    expect((await webhook.receiver.handle(signToloka({ secret: SECRET }))).status).toBe(503);
  });

  test.each([-1, Number.NaN, 3601, "5"])(
    "refuses a timeout of %j and leaves the server alone",
    async (bad) => {
      const { webhook, server } = await serve();
      const done = shutdownGracefully(server, [webhook], { timeout: bad as number });
      await expect(done).rejects.toThrow(TypeError);
      await expect(done).rejects.toThrow(/timeout must be a number of seconds/);
      expect(server.listening).toBe(true);
    },
  );

  test("is the same function in every adapter that has a server", () => {
    for (const adapter of [
      expressAdapter,
      fastifyAdapter,
      koaAdapter,
      { shutdownGracefully, trackReplies },
    ]) {
      expect(adapter.shutdownGracefully).toBe(fromCore);
      expect(adapter.trackReplies).toBe(trackReplies);
    }
  });
});

describe("shutdownGracefully without trackReplies", () => {
  test("answers a delivery in flight, and closes its connection", async () => {
    const { webhook, server, begun, release, open } = await serve({ isTracked: false });
    const wire = await open();
    wire.write(delivery());
    await begun;
    const done = shutdownGracefully(server, [webhook]);
    expect(await isSettled(done)).toBe(false);
    release();
    await done;
    expect(await closed(wire)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("waits for the answer of the app's own route", async () => {
    const { webhook, server, ownBegun, answer, open } = await serve({ isTracked: false });
    const wire = await open();
    wire.write("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
    await ownBegun;
    const done = shutdownGracefully(server, [webhook]);
    expect(await isSettled(done)).toBe(false);
    answer();
    await done;
    expect(await closed(wire)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("keeps a connection on which nothing was ever sent until the timeout", async () => {
    const { webhook, server, open } = await serve({ isTracked: false });
    const silent = await open();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const done = shutdownGracefully(server, [webhook], { timeout: 5 });
    vi.advanceTimersByTime(4_999);
    expect(await isSettled(done)).toBe(false);
    vi.advanceTimersByTime(1);
    await done;
    await closed(silent);
  });
});

describe("trackReplies", () => {
  test("returns the server, and adds one listener however often it is called", async () => {
    const { server } = await serve({ isTracked: false });
    const before = server.listenerCount("request");
    expect(trackReplies(trackReplies(server))).toBe(server);
    expect(server.listenerCount("request")).toBe(before + 1);
  });
});
