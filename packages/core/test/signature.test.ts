import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { signToloka, tolokaEvent } from "../src/testing.js";
import { NOW, never, receiverWith, SECRET, signed } from "./deliveries.js";

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
    expect(prepare.mock.calls.map(([secret]) => secret).sort()).toEqual(["a", "b", SECRET, SECRET].sort());
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

  const secrets = (count: number) => Array.from({ length: count }, (_, i) => `secret-${i}`);

  test("createReceiver accepts 1,000 secrets and throws for more", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = receiverWith({ secret: secrets(1_000) });
    const delivery = signToloka({ secret: "secret-999", timestamp: NOW });
    expect((await receiver.handle(delivery)).status).toBe(200);
    expect(() => receiverWith({ secret: secrets(1_001) })).toThrow(
      "The list has 1001 secrets, and each is tried for each delivery. Pass at most 1000",
    );
  });

  test("the reply is SECRET_UNAVAILABLE when a secret function returns more than 1,000 secrets", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiverWith({ secret: () => secrets(1_001) }).handle(signed());
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([503, "SECRET_UNAVAILABLE"]);
    expect(log.mock.calls.join()).toContain("the secret cannot be used. The list has 1001 secrets");
  });

  test("createReceiver logs one line when the list has more than 10 secrets", () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    receiverWith({ secret: secrets(10) });
    receiverWith({ secret: () => secrets(11) });
    expect(log).not.toHaveBeenCalled();
    receiverWith({ secret: secrets(11) });
    expect(log.mock.calls).toEqual([
      [expect.stringMatching(/secret: the list has 11 secrets\..* Use one receiver per tenant/)],
    ]);
    expect(log.mock.calls.join()).not.toContain("secret-1");
  });

  describe("with a secret function that does not answer", () => {
    beforeEach(() => {
      vi.useFakeTimers({ now: NOW });
      return () => vi.useRealTimers();
    });

    test("the reply is SECRET_UNAVAILABLE after 5 seconds, and the log says so", async () => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const replied = vi.fn();
      const reply = receiverWith({ secret: () => never() }).handle(signed());
      void reply.then(replied);
      await vi.advanceTimersByTimeAsync(4_999);
      expect(replied).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(JSON.parse((await reply).body).code).toBe("SECRET_UNAVAILABLE");
      expect(log.mock.calls.join()).toContain(
        "SECRET_UNAVAILABLE: the secret function has not answered within 5 seconds. Check the function",
      );
    });

    test("a forged delivery is answered when the function hangs only when it is asked for the mistake", async () => {
      vi.spyOn(console, "error").mockImplementation(() => {});
      const secret = vi.fn<() => Promise<string>>(never).mockResolvedValueOnce(SECRET);
      const reply = receiverWith({ secret }).handle(signToloka({ secret: "another", timestamp: NOW }));
      await vi.advanceTimersByTimeAsync(5_000);
      expect((await reply).status).toBe(401);
      expect(secret).toHaveBeenCalledTimes(2);
    });

    test("an answer in time leaves no timer behind", async () => {
      const reply = await receiverWith({ secret: async () => SECRET }).handle(signed());
      expect([reply.status, vi.getTimerCount()]).toEqual([200, 0]);
    });
  });

  test.each([
    ["this process's memory", () => ({})],
    ["a claim store", () => ({ claims: memoryClaims({ clock: () => NOW }) })],
  ])("a redelivery is a duplicate when it is signed with the rotated secret, with %s", async (_, options) => {
    const receiver = receiverWith({ secret: ["the-new-secret", "the-old-secret"], ...options() });
    const listener = vi.fn();
    receiver.onAny(listener);
    const events = [tolokaEvent("POOL_CLOSED")];
    for (const [secret, counts] of [
      ["the-old-secret", { handled: 1 }],
      ["the-new-secret", { handled: 0, duplicate: 1 }],
    ] as const) {
      const reply = await receiver.handle(signToloka({ secret, timestamp: NOW, events }));
      expect(JSON.parse(reply.body)).toMatchObject(counts);
    }
    expect(listener).toHaveBeenCalledOnce();
  });
});
