import { beforeEach, describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { receiverWith, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("body", () => {
  test("the receiver accepts bytes, text or a reader function, and calls the reader only when the head passes", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed();
    const bytes = new TextEncoder().encode(body);
    const read = vi.fn((_limit: number) => bytes);
    for (const form of [bytes, Buffer.from(body), body, read, async () => bytes]) {
      expect((await receiver.handle({ method, headers, body: form })).status).toBe(200);
    }
    expect(read).toHaveBeenCalledExactlyOnceWith(5 * 1024 * 1024);
    await receiver.handle({ method: "GET", headers, body: read });
    await receiver.handle({ method, headers: { ...headers, "content-encoding": "gzip" }, body: read });
    expect(read).toHaveBeenCalledOnce();
  });

  test("handle calls the reader before it returns, and the listeners after it returned", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed(tolokaEvent("POOL_CLOSED"));
    const steps: string[] = [];
    receiver.on("POOL_CLOSED", () => steps.push("listener"));
    const read = () => {
      steps.push("reader");
      return body;
    };
    const handled = receiver.handle({ method, headers, body: read });
    steps.push("returned");
    await handled;
    expect(steps).toEqual(["reader", "returned", "listener"]);
  });

  test("the receiver accepts an ArrayBuffer, any view, another realm's bytes, and text from a reader", async () => {
    const receiver = receiverWith();
    receiver.onAny(() => {});
    const { method, headers, body } = signed(tolokaEvent("POOL_CLOSED"));
    const bytes = new TextEncoder().encode(body);
    const { runInNewContext } = await import("node:vm");
    const foreign = runInNewContext("Uint8Array.from(bytes)", { bytes: [...bytes] });
    for (const form of [bytes.buffer, new DataView(bytes.buffer), foreign, () => body, () => bytes.buffer]) {
      expect((await receiver.handle({ method, headers, body: form })).status).toBe(200);
    }
  });

  test("the receiver accepts a body of exactly maxBodySize, and refuses it with 413 when it is one byte longer", async () => {
    const { method, headers, body } = signed();
    const exact = receiverWith({ maxBodySize: body.length });
    const less = receiverWith({ maxBodySize: body.length - 1 });
    for (const form of [body, new TextEncoder().encode(body), () => body]) {
      expect((await exact.handle({ method, headers, body: form })).status).toBe(200);
      const reply = await less.handle({ method, headers, body: form });
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([413, "BODY_TOO_LARGE"]);
    }
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("gone");
      },
    ],
    ["rejects", () => Promise.reject(new Error("gone"))],
  ])("the reply is BODY_ABORTED when a body reader %s", async (_, body) => {
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, "BODY_ABORTED"]);
  });

  test.each<[string, () => unknown]>([
    ["BODY_TOO_LARGE", () => ({ code: "BODY_TOO_LARGE" })],
    ["BODY_ABORTED", async () => ({ code: "BODY_ABORTED" })],
    ["BODY_UNAVAILABLE", async () => ({ code: "BODY_UNAVAILABLE" })],
    ["BODY_UNAVAILABLE", () => ({ code: "NOT_FOUND" })],
    ["BODY_UNAVAILABLE", () => null],
    ["BODY_UNAVAILABLE", () => undefined],
  ])("the reply to a failing body reader has the code %s (%#)", async (code, body) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body: body as () => string });
    expect(JSON.parse(reply.body)).toEqual({ code, message: expect.any(String) });
    // Any sender can cause the other two codes, so the log does not record them.
    expect(log).toHaveBeenCalledTimes(code === "BODY_UNAVAILABLE" ? 1 : 0);
  });

  test.each<[string, unknown]>([
    ["a parsed body", { events: [] }],
    ["a parsed body that looks like a failure", { code: "BODY_TOO_LARGE", hint: "hunter2" }],
    ["undefined", undefined],
    ["null", null],
    ["a number", 7],
    ["a reader that returns a parsed body", () => ({ events: [] })],
  ])("the reply is BODY_UNAVAILABLE and the log names the fix when the body is %s", async (_, body) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith().handle({ method: "POST", headers: {}, body: body as string });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([500, "BODY_UNAVAILABLE"]);
    expect(log.mock.calls.join()).toContain("raw bytes");
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });
});
