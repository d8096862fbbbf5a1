import { channel } from "node:diagnostics_channel";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import type { DeliveryRecord } from "../src/observing/trace.js";
import type { ReceiverOptions } from "../src/options.js";
import { signToloka, tolokaEvent } from "../src/testing.js";
import { closed, deferred, NOW, never, receiverWith, SECRET, signed } from "./deliveries.js";
import { virtualTime } from "./virtual-time.js";

const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

virtualTime();

describe("observe", () => {
  /** The time that the receiver measures. Only a test moves it. */
  let now: number;
  beforeEach(() => {
    now = 1_000;
    vi.spyOn(performance, "now").mockImplementation(() => now);
  });

  function observed(options: ReceiverOptions = {}) {
    const records: DeliveryRecord[] = [];
    const receiver = receiverWith({ observe: (record) => records.push(record), ...options });
    receiver.onError(() => {});
    return { receiver, records };
  }

  const NO_TIME = { verify: 0, handle: 0, total: 0 };

  test("the record of a success holds counts, events, size and durations, but no code or reason", async () => {
    const { receiver, records } = observed({
      secret: async () => {
        now += 20;
        return SECRET;
      },
    });
    receiver.onAny(() => {
      now += 300;
    });
    const { body, ...head } = signed(closed("a"), { ...closed("b"), type: "NEW" });
    const read = () => {
      now += 4_000;
      return body;
    };
    await receiver.handle({ ...head, body: read });
    expect(records).toEqual([
      {
        provider: "toloka",
        source: "delivery",
        status: 200,
        code: undefined,
        reason: undefined,
        counts: { ...NOTHING, handled: 1, unrecognized: 1 },
        events: [
          { id: "a", type: "POOL_CLOSED", outcome: "handled" },
          { id: "b", type: "NEW", outcome: "unrecognized" },
        ],
        bytes: body.length,
        durations: { verify: 20, handle: 600, total: 4_620 },
      },
    ]);
  });

  test("the record lists busy, duplicate, failed and handled events in the order of the delivery", async () => {
    const claims = memoryClaims();
    claims.claim("toloka:held", "another process", 60_000);
    const { receiver, records } = observed({ claims, concurrency: 16 });
    receiver.onAny(({ id }) => id === "broken" && Promise.reject(new Error("hunter2")));
    await receiver.handle(signed(closed("done")));
    const delivery = signed(closed("held"), closed("done"), closed("broken"), closed("new"));
    await receiver.handle(delivery);
    expect(records[1]).toEqual({
      provider: "toloka",
      source: "delivery",
      status: 500,
      code: "EVENT_FAILED",
      reason: expect.any(String),
      counts: { ...NOTHING, handled: 1, duplicate: 1, failed: 1, busy: 1 },
      events: ["held busy", "done duplicate", "broken failed", "new handled"].map((text) => {
        const [id, outcome] = text.split(" ");
        return { id, type: "POOL_CLOSED", outcome };
      }),
      bytes: delivery.body.length,
      durations: NO_TIME,
    });
  });

  test("the record tells a failed claim, a failed settlement and a failed sink apart", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = () => {
      throw new Error("hunter2");
    };
    for (const [options, code, outcome] of [
      [{ claims: { ...memoryClaims(), claim: broken } }, "STORE_UNAVAILABLE", "claim_failed"],
      [{ claims: { ...memoryClaims(), settle: broken } }, "STORE_UNAVAILABLE", "settle_failed"],
      [{ sink: { accept: broken } }, "SINK_UNAVAILABLE", "sink_failed"],
    ] as const) {
      const { receiver, records } = observed(options);
      receiver.onAny(() => {});
      await receiver.handle(signed(closed("x")));
      expect(records).toMatchObject([{ status: 503, code, events: [{ id: "x", outcome }] }]);
    }
  });

  test.each<
    [string, number, string, Parameters<ReturnType<typeof receiverWith>["handle"]>[0], number | undefined]
  >([
    ["without a signature", 401, "SIGNATURE_MISSING", { method: "POST", headers: {}, body: "{}" }, 2],
    ["with another secret", 401, "SIGNATURE_MISMATCH", signToloka({ secret: "?", timestamp: NOW }), 13],
    [
      "with an old signature",
      401,
      "TIMESTAMP_OUT_OF_TOLERANCE",
      signToloka({ secret: SECRET, timestamp: NOW - 400_000 }),
      13,
    ],
    [
      "whose body is too large",
      413,
      "BODY_TOO_LARGE",
      { method: "POST", headers: {}, body: "x".repeat(999) },
      999,
    ],
    [
      "whose reader reports too large a body",
      413,
      "BODY_TOO_LARGE",
      { method: "POST", headers: {}, body: () => ({ code: "BODY_TOO_LARGE" }) },
      undefined,
    ],
    ["with the method GET", 405, "METHOD_NOT_ALLOWED", { method: "GET", headers: {}, body: "" }, undefined],
    [
      "whose body is not JSON",
      400,
      "BODY_NOT_JSON",
      signToloka({ secret: SECRET, timestamp: NOW, body: "hunter2" }),
      7,
    ],
    ["without headers", 500, "INTERNAL_ERROR", undefined as never, undefined],
  ])(
    "the record of a delivery %s holds status %i, code %s, a reason and no events",
    async (_, status, code, delivery, bytes) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const { receiver, records } = observed({ maxBodySize: 500 });
      const sent = delivery ?? Object.defineProperty(signed(), "headers", { get: () => undefined });
      const reply = await receiver.handle(sent);
      expect(reply.status).toBe(status);
      expect(records).toEqual([
        {
          provider: "toloka",
          source: "delivery",
          status,
          code,
          reason: expect.stringMatching(/^[A-Za-z].*\.|\?$/),
          counts: NOTHING,
          events: [],
          bytes,
          durations: NO_TIME,
        },
      ]);
      expect(JSON.stringify(records) + log.mock.calls.join()).not.toMatch(/hunter2|12345/);
      if (status === 500)
        expect(log.mock.calls.join()).toMatch(/INTERNAL_ERROR: handling a delivery failed \(TypeError\)/);
    },
  );

  test("the observer gets a record when maxInFlight or close refuses a delivery", async () => {
    const { receiver, records } = observed({ maxInFlight: 1 });
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    await receiver.handle(signed(closed("y")));
    const ended = receiver.close();
    await receiver.handle(signed(closed("z")));
    const refused = {
      provider: "toloka",
      source: "delivery",
      status: 503,
      counts: NOTHING,
      events: [],
      bytes: undefined,
    };
    expect(records).toEqual([
      { ...refused, code: "OVERLOADED", reason: expect.any(String), durations: NO_TIME },
      { ...refused, code: "SHUTTING_DOWN", reason: expect.any(String), durations: NO_TIME },
    ]);
    open();
    await Promise.all([running, ended]);
    expect(records).toHaveLength(3);
  });

  test("close resolves after the observer got the record of the last delivery", async () => {
    const { receiver, records } = observed();
    const { passed, open } = deferred();
    receiver.on("POOL_CLOSED", () => passed);
    const running = receiver.handle(signed(closed("x")));
    const observedBy = receiver.close().then(() => records.length);
    open();
    expect(await observedBy).toBe(1);
    await running;
  });

  test("the observer gets the record before the reply resolves", async () => {
    const order: string[] = [];
    const receiver = receiverWith({ observe: () => order.push("record") });
    receiver.onAny(() => {});
    await receiver.handle(signed(closed("x"))).then(() => order.push("reply"));
    expect(order).toEqual(["record", "reply"]);
  });

  test.each<[string, (record: DeliveryRecord) => unknown, boolean]>([
    [
      "throws",
      () => {
        throw new Error("hunter2");
      },
      true,
    ],
    ["rejects", () => Promise.reject(new Error("hunter2")), true],
    ["never resolves", never, false],
    [
      "changes the record",
      (record) => {
        const changed = record as unknown as Record<string, unknown>;
        for (const key of Object.keys(record)) changed[key] = "changed";
      },
      false,
    ],
    [
      "empties the lists in the record",
      ({ counts, events }) => {
        (events as unknown[]).length = 0;
        Object.assign(counts, { handled: 99 });
      },
      false,
    ],
    [
      "throws an error whose name throws",
      () => {
        throw Object.defineProperty(new Error(), "name", {
          get() {
            throw new Error("hunter2");
          },
        });
      },
      true,
    ],
  ])("an observer that %s changes no reply and no event", async (_, observe, logged) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const watched = receiverWith({ observe });
    const plain = receiverWith();
    const delivery = signed(closed("x"), closed("y"));
    const heard = vi.fn();
    watched.onAny(heard);
    plain.onAny(() => {});
    expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
    expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toHaveBeenCalledTimes(2);
    expect(log).toHaveBeenCalledTimes(logged ? 1 : 0);
    if (logged) expect(log.mock.calls.join()).toMatch(/^crowdhook: toloka: observe: /);
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test("the record holds no payload, no secret, no signature and no message of a listener", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { receiver, records } = observed({ timeout: 1, concurrency: 4 });
    receiver.onUnrecognized(() => {});
    receiver.onAny(({ id }) => id === "fails" && Promise.reject(new Error("hunter2")));
    const payload = { close_reason: "payload", project_id: "payload" };
    const delivery = signed(
      tolokaEvent("POOL_CLOSED", { uuid: "fails", ...payload }),
      { ...tolokaEvent("POOL_CLOSED", { uuid: "new", ...payload }), type: "NEW" },
      tolokaEvent("POOL_CLOSED", { uuid: "misfit", close_reason: ["payload"] }),
    );
    await receiver.handle(delivery);
    await receiver.handle({ ...delivery, body: `${delivery.body} ` });
    await receiver.handle(signToloka({ secret: "payload", timestamp: NOW, events: [payload] }));
    expect(records).toHaveLength(3);
    const [, sign = "?"] = /sign=(\w+)/.exec(delivery.headers["toloka-signature"] ?? "") ?? [];
    const recorded = JSON.stringify(records) + log.mock.calls.join();
    for (const secret of ["payload", "hunter2", SECRET, sign, String(NOW)])
      expect(recorded).not.toContain(secret);
  });
});

describe("the channel crowdhook:delivery", () => {
  const deliveries = channel("crowdhook:delivery");

  test("the channel gets the observer's record, and gets a record when there is no observer", async () => {
    const published: unknown[] = [];
    const heard: unknown[] = [];
    const subscriber = (message: unknown) => void published.push(message);
    deliveries.subscribe(subscriber);
    try {
      const observing = receiverWith({ observe: (record) => heard.push(record) });
      observing.onAny(() => {});
      await observing.handle(signed(closed("x")));
      const plain = receiverWith();
      plain.onAny(() => {});
      await plain.handle(signed(closed("y")));
    } finally {
      deliveries.unsubscribe(subscriber);
    }
    expect(heard).toHaveLength(1);
    expect(published[0]).toBe(heard[0]);
    expect(published[1]).toMatchObject({ status: 200, events: [{ id: "y", outcome: "handled" }] });
  });

  test("the receiver publishes nothing and measures no time when the channel has no subscriber", async () => {
    const publish = vi.spyOn(deliveries, "publish");
    const observing = receiverWith({ observe() {} });
    observing.onAny(() => {});
    await observing.handle(signed(closed("x")));
    const plain = receiverWith();
    plain.onAny(() => {});
    const measured = vi.spyOn(performance, "now");
    await plain.handle(signed(closed("y")));
    expect(publish).not.toHaveBeenCalled();
    expect(measured).not.toHaveBeenCalled();
  });
});
