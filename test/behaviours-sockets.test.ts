import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SECRET } from "./started.js";
import { type Running, TARGETS } from "./targets.js";

describe.each(TARGETS.filter((target) => target.name !== "core"))("$name: connections", (target) => {
  let running: Running;
  beforeEach(async () => {
    running = await target.start({ secret: SECRET });
  });
  afterEach(async () => {
    await running.close();
  });

  const alive = async () => expect((await running.send(signToloka({ secret: SECRET }))).status).toBe(200);

  /** Writes raw bytes to a socket, and returns everything that comes back until the server closes it. */
  const raw = (text: string, then: "wait" | "hang up" = "wait") =>
    new Promise<string>((resolve, reject) => {
      const socket = net.connect(Number(new URL(running.origin ?? "").port), "127.0.0.1");
      let received = "";
      socket.on("data", (data) => {
        received += data;
      });
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
      socket.write(text, () => then === "hang up" && socket.destroy());
    });

  test("other paths get 404 and reach no listener", async () => {
    const listener = vi.fn();
    running.webhook.onAny(listener);
    const delivery = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    for (const path of [
      "/",
      "/toloka-webhooks",
      "/toloka-webhook/more",
      "/x/toloka-webhook",
      "/Toloka-Webhook/x",
    ]) {
      expect([path, (await running.send({ ...delivery, path })).status]).toEqual([path, 404]);
    }
    expect(listener).not.toHaveBeenCalled();
  });

  test.each(["/toloka-webhook/", "/toloka-webhook?a=b", "/toloka-webhook/?a=/b"])(
    "webhook answers at %s",
    async (path) => {
      expect((await running.send({ ...signToloka({ secret: SECRET }), path })).status).toBe(200);
    },
  );

  test.each([
    ["in chunks", "close", {}],
    ["in chunks", "keep-alive", {}],
    ["with their Content-Length", "close", { "content-length": 50 * 1024 * 1024 }],
  ])(
    "sender of 50 MB %s (Connection: %s) reads a 413, and memory stays flat",
    async (_, connection, headers) => {
      const piece = Buffer.alloc(64 * 1024);
      const before = process.memoryUsage().rss;
      let most = before;
      const sent = http.request(`${running.origin}/toloka-webhook`, {
        method: "POST",
        headers: { connection, ...headers },
      });
      // After the answer a wait for "drain" may never end. Node would warn of so many listeners.
      sent.setMaxListeners(0);
      const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
        sent.on("response", resolve);
        sent.on("error", reject);
      });
      for (let i = 0; i < 800; i++) {
        if (!sent.write(piece)) await Promise.race([once(sent, "drain"), answered]);
        most = Math.max(most, process.memoryUsage().rss);
      }
      sent.end();
      const response = await answered;
      response.resume();
      expect(response.statusCode).toBe(413);
      // Sender and receiver share this process. The limit allows for the 5 MiB that are kept, and for garbage.
      expect(most - before).toBeLessThan(40 * 1024 * 1024);
      await alive();
    },
  );

  test("Content-Length over the limit gets 413, even when the body never comes", async () => {
    const answer = raw(
      "POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6000000\r\n\r\n{",
    );
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
    await alive();
  });

  test("bytes after the Content-Length are not part of the body", async () => {
    const listener = vi.fn();
    running.webhook.onAny(listener);
    const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    const answer = await raw(
      `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nToloka-Signature: ${headers["toloka-signature"]}\r\nContent-Length: 5\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
    expect(listener).not.toHaveBeenCalled();
    await alive();
  });

  test("aborted upload runs no listener, and the server stays up", async () => {
    const listener = vi.fn();
    running.webhook.onAny(listener);
    for (let i = 0; i < 20; i++) {
      await raw(
        `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nToloka-Signature: {v=1, ts=1, sign=${"0".repeat(64)}}\r\nContent-Length: 1000\r\n\r\n{"events":`,
        "hang up",
      );
    }
    await alive();
    expect(listener).not.toHaveBeenCalled();
  });

  test.each<[string, (body: string) => string]>([
    ["fewer bytes than its Content-Length", (body) => `Content-Length: ${body.length + 1}\r\n\r\n${body}`],
    [
      "a chunked body without its last chunk",
      (body) => `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n`,
    ],
  ])("a delivery is BODY_ABORTED when the sender hangs up after %s", async (_, rest) => {
    const listener = vi.fn();
    running.webhook.onAny(listener);
    const code = new Promise((resolve) => {
      const take = (record: unknown) => {
        unsubscribe("crowdhook:delivery", take);
        resolve((record as { code?: string }).code);
      };
      subscribe("crowdhook:delivery", take);
    });
    const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    await raw(
      `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nToloka-Signature: ${headers["toloka-signature"]}\r\n${rest(body)}`,
      "hang up",
    );
    expect(await code).toBe("BODY_ABORTED");
    expect(listener).not.toHaveBeenCalled();
    await alive();
  });

  test("context.signal aborts when the sender hangs up before the answer", async () => {
    const { headers, body } = signToloka({ secret: SECRET, events: [tolokaEvent("POOL_CLOSED")] });
    let hangUp = () => {};
    const aborted = new Promise<void>((resolve) => {
      running.webhook.on("POOL_CLOSED", async (_, { signal }) => {
        signal.addEventListener("abort", () => resolve());
        hangUp();
        await aborted;
      });
    });
    const socket = net.connect(Number(new URL(running.origin ?? "").port), "127.0.0.1");
    hangUp = () => socket.destroy();
    socket.write(
      `POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nToloka-Signature: ${headers["toloka-signature"]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await aborted;
    await alive();
  });
});
