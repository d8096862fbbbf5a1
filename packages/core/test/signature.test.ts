import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import { signToloka, tolokaEvent } from "../src/testing.js";
import { NOW, receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("signature", () => {
  test("the receiver accepts a timestamp up to the tolerance in past and future, and refuses one a millisecond beyond", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    for (const [tolerance, age, status] of [
      [undefined, 300_000, 200],
      [undefined, 300_001, 401],
      [undefined, -300_000, 200],
      [undefined, -300_001, 401],
      [1, 1_000, 200],
      [1, 1_001, 401],
      [0, 0, 200],
      [0, 1, 401],
    ] as const) {
      const delivery = signToloka({ secret: SECRET, timestamp: NOW - age });
      const reply = await receiverWith({ tolerance }).handle(delivery);
      expect([tolerance, age, reply.status]).toEqual([tolerance, age, status]);
    }
  });

  test("the reply is TIMESTAMP_OUT_OF_TOLERANCE when the clock returns NaN", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith({ clock: () => Number.NaN }).handle(signed());
    expect(JSON.parse(reply.body).code).toBe("TIMESTAMP_OUT_OF_TOLERANCE");
  });

  test("the receiver prepares each key once when many deliveries arrive", async () => {
    const prepare = vi.spyOn(hmac, "prepareKey");
    const fixed = receiverWith({ secret: ["a", SECRET] });
    const secret = vi.fn(() => [SECRET, "b"]);
    const called = receiverWith({ secret });
    for (let i = 0; i < 10; i++) {
      expect((await fixed.handle(signed())).status).toBe(200);
      expect((await called.handle(signed())).status).toBe(200);
    }
    expect(secret).toHaveBeenCalledTimes(10);
    expect(
      prepare.mock.calls
        .flat()
        .filter((secret) => typeof secret === "string")
        .sort(),
    ).toEqual(["a", "b", SECRET, SECRET].sort());
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      "throws",
      () => {
        throw new RangeError("hunter2");
      },
      /SECRET_UNAVAILABLE: the secret function failed \(RangeError\)/,
    ],
    [
      "rejects",
      () => Promise.reject(new RangeError("hunter2")),
      /SECRET_UNAVAILABLE: the secret function failed \(RangeError\)/,
    ],
    [
      "returns an invalid secret",
      () => ["hunter2", ""],
      /SECRET_UNAVAILABLE: the secret cannot be used\. The secret is empty\./,
    ],
    [
      "resolves to an invalid secret",
      async () => ["hunter2", ""],
      /SECRET_UNAVAILABLE: the secret cannot be used\. The secret is empty\./,
    ],
  ])(
    "the reply is SECRET_UNAVAILABLE when a secret function %s, and neither reply nor log quotes it",
    async (_, secret, expectedLog) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const receiver = receiverWith({ secret: secret as () => string });
      const listener = vi.fn();
      receiver.onAny(listener);
      const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([503, "SECRET_UNAVAILABLE"]);
      expect(log.mock.calls.join()).toMatch(expectedLog);
      expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
      expect(listener).not.toHaveBeenCalled();
    },
  );

  test.each<[string, () => unknown]>([
    ["returns", () => undefined],
    ["resolves to", async () => undefined],
  ])("the log names the variable when a secret function %s undefined", async (_, secret) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ secret: secret as () => string });
    const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([503, "SECRET_UNAVAILABLE"]);
    expect(log.mock.calls.join()).toContain("is undefined. Set the environment variable TOLOKA_SECRET");
  });

  test("a secret function gets the delivery, and is not called when the signature is missing or malformed", async () => {
    const secret = vi.fn(() => SECRET);
    const receiver = receiverWith({ secret });
    const delivery = signed();
    await receiver.handle({ ...delivery, headers: {} });
    await receiver.handle({ ...delivery, headers: { "toloka-signature": "{}" } });
    expect(secret).not.toHaveBeenCalled();
    await receiver.handle(delivery);
    expect(secret).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ method: "POST" }));
  });

  test("the log names the reason without the secret when a signature does not match or is too old", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith();
    await receiver.handle(signToloka({ secret: "another", timestamp: NOW }));
    await receiver.handle(signToloka({ secret: SECRET, timestamp: NOW - 400_000 }));
    expect(log.mock.calls.join("\n")).toMatch(
      /SIGNATURE_MISMATCH.*\n.*TIMESTAMP_OUT_OF_TOLERANCE.* 400 seconds/,
    );
    expect(log.mock.calls.join()).not.toContain(SECRET);
  });
});
