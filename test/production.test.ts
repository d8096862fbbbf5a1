import { channel } from "node:diagnostics_channel";
import net from "node:net";
import type { DeliveryRecord, ReceiverOptions } from "@crowdhook/core";
import { prolificEvent, signProlific, signToloka, testClock, tolokaEvent } from "@crowdhook/core/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Answer } from "./request.js";
import { type Running, TARGETS } from "./targets.js";

const SECRET = "12345";
const NOW = 1_581_682_978_000;
const NOTHING = { handled: 0, ignored: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };

function contentOf(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.text);
}

/** Resolves when asked to, so that a test decides when a listener is done. */
function gate() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

const signed = (...events: object[]) => signToloka({ secret: SECRET, timestamp: NOW, events });
const submitted = (uuid: string, assignment_id: string) =>
  tolokaEvent("ASSIGNMENT_SUBMITTED", { uuid, assignment_id });

describe.each(TARGETS)("$name", (target) => {
  const clock = testClock(NOW);
  const started: Running[] = [];

  beforeEach(() => clock.set(NOW));
  afterEach(async () => {
    vi.restoreAllMocks();
    await Promise.all(started.splice(0).map((running) => running.close()));
  });

  async function start(options: ReceiverOptions = {}): Promise<Running> {
    const running = await target.start({ clock, secret: SECRET, ...options });
    started.push(running);
    return running;
  }

  test("of many events at once, those of one key run in order, across deliveries too", async () => {
    const { webhook, send } = await start({ concurrency: 4 });
    const { passed, open } = gate();
    const fourBegun = gate();
    const begun: string[] = [];
    webhook.onAny(({ id }) => {
      if (begun.push(id) === 4) fourBegun.open();
      return passed;
    });
    const events = ["a1", "a2", "b1", "c1", "b2", "d1", "e1"].map((uuid) =>
      submitted(uuid, uuid.slice(0, 1)),
    );
    const first = send(signed(...events));
    await fourBegun.passed;
    expect(begun).toEqual(["a1", "b1", "c1", "d1"]);
    const eBegun = gate();
    webhook.on("ASSIGNMENT_APPROVED", () => eBegun.open());
    const second = send(
      signed(submitted("a3", "a"), tolokaEvent("ASSIGNMENT_APPROVED", { uuid: "f1", assignment_id: "f" })),
    );
    await eBegun.passed;
    expect(begun).toEqual(["a1", "b1", "c1", "d1", "f1"]);
    open();
    expect((await Promise.all([first, second])).map(contentOf)).toEqual([
      { ...NOTHING, handled: 7 },
      { ...NOTHING, handled: 2 },
    ]);
    for (const key of ["a", "b"]) {
      const ids = begun.filter((id) => id.startsWith(key));
      expect(ids).toEqual([...ids].sort());
    }
    expect(begun).toHaveLength(9);
  });

  test("orderingKey names the keys in place of that", async () => {
    const { webhook, send } = await start({ concurrency: 4, orderingKey: ({ type }) => type });
    const { passed, open } = gate();
    const otherBegun = gate();
    const begun: string[] = [];
    webhook.onAny(({ id }) => {
      begun.push(id);
      if (id === "other") otherBegun.open();
      return passed;
    });
    const events = [submitted("1", "a"), submitted("2", "b"), tolokaEvent("TEST_EVENT", { uuid: "other" })];
    const answer = send(signed(...events));
    await otherBegun.passed;
    expect(begun).toEqual(["1", "other"]);
    open();
    expect(contentOf(await answer)).toEqual({ ...NOTHING, handled: 3 });
    expect(begun).toEqual(["1", "other", "2"]);
  });

  test("a listener that hangs is answered for at its time limit with 500; a redelivery is handled", async () => {
    const { webhook, send } = await start({ timeout: 0.05 });
    const errors: unknown[] = [];
    webhook.onError((error) => errors.push(error));
    let signal: AbortSignal | undefined;
    const listener = vi.fn((_, context: { signal: AbortSignal }) => {
      signal ??= context.signal;
      return listener.mock.calls.length === 1 ? new Promise(() => {}) : undefined;
    });
    webhook.on("POOL_CLOSED", listener);
    webhook.on("TEST_EVENT", () => {});
    const delivery = signed(tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT"));
    const answer = await send(delivery);
    expect(answer.status).toBe(500);
    expect(contentOf(answer)).toMatchObject({ code: "EVENT_FAILED", handled: 1, failed: 1 });
    expect(signal?.reason).toMatchObject({ name: "TimeoutError" });
    expect(errors).toEqual([signal?.reason]);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
  });

  test("beyond maxInFlight every delivery gets 503 at once, and 200 when it comes again", async () => {
    const { webhook, send } = await start({ maxInFlight: 2 });
    const { passed, open } = gate();
    const bothBegun = gate();
    const begun: string[] = [];
    webhook.onAny(({ id }) => {
      if (begun.push(id) === 2) bothBegun.open();
      return passed;
    });
    const deliveries = Array.from({ length: 8 }, (_, i) => signed(submitted(`event-${i}`, "x")));
    const running = deliveries.slice(0, 2).map((delivery) => send(delivery));
    await bothBegun.passed;
    for (const answer of await Promise.all(deliveries.slice(2).map((delivery) => send(delivery)))) {
      expect(answer.status).toBe(503);
      expect(answer.headers["retry-after"]).toBe("5");
      expect(contentOf(answer)).toEqual({ code: "OVERLOADED", message: expect.any(String) });
    }
    // Each webhook counts its own.
    const event = prolificEvent("study.status.change");
    const other = { ...signProlific({ secret: SECRET, timestamp: NOW, event }), path: "/prolific-webhook" };
    expect((await send(other)).status).toBe(200);
    open();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
    for (const delivery of deliveries.slice(2)) expect((await send(delivery)).status).toBe(200);
    expect(begun.sort()).toEqual(deliveries.map((_, i) => `event-${i}`));
  });

  // core has no socket.
  if (target.name !== "core") {
    test("what is refused with 503 is answered while its body is still to come", async () => {
      const { webhook, send, origin = "" } = await start({ maxInFlight: 1 });
      const { passed, open } = gate();
      const begun = gate();
      webhook.onAny(() => {
        begun.open();
        return passed;
      });
      const running = send(signed(tolokaEvent("POOL_CLOSED")));
      await begun.passed;
      const socket = net.connect(Number(new URL(origin).port), "127.0.0.1");
      try {
        const head = await new Promise<string>((resolve, reject) => {
          socket.on("data", (data) => resolve(String(data)));
          socket.on("error", reject);
          socket.on("close", () => reject(new Error("closed without an answer")));
          socket.write("POST /toloka-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{");
        });
        expect(head).toMatch(/^HTTP\/1\.1 503 /);
      } finally {
        socket.destroy();
      }
      open();
      expect((await running).status).toBe(200);
    });
  }

  test("observe and the channel crowdhook:delivery get the same record of every delivery", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const records: DeliveryRecord[] = [];
    const published: unknown[] = [];
    const subscriber = (message: unknown) => void published.push(message);
    const deliveries = channel("crowdhook:delivery");
    const { webhook, send } = await start({ observe: (record) => records.push(record) });
    webhook.onAny(() => {});
    const delivery = signed(submitted("a", "x"));
    deliveries.subscribe(subscriber);
    try {
      await send(delivery);
      await send(delivery);
      await send(signToloka({ secret: "another", timestamp: NOW }));
      await send({ method: "GET" });
    } finally {
      deliveries.unsubscribe(subscriber);
    }
    const durations = { verify: expect.any(Number), handle: expect.any(Number), total: expect.any(Number) };
    const shared = { provider: "toloka", source: "delivery", durations };
    const fine = { ...shared, status: 200, code: undefined, reason: undefined, bytes: delivery.body.length };
    const event = { id: "a", type: "ASSIGNMENT_SUBMITTED" };
    expect(records).toEqual([
      { ...fine, counts: { ...NOTHING, handled: 1 }, events: [{ ...event, outcome: "handled" }] },
      { ...fine, counts: { ...NOTHING, duplicate: 1 }, events: [{ ...event, outcome: "duplicate" }] },
      {
        ...shared,
        status: 401,
        code: "SIGNATURE_MISMATCH",
        reason: expect.stringContaining("fits no secret"),
        counts: NOTHING,
        events: [],
        bytes: 13,
      },
      {
        ...shared,
        status: 405,
        code: "METHOD_NOT_ALLOWED",
        reason: expect.any(String),
        counts: NOTHING,
        events: [],
        bytes: undefined,
      },
    ]);
    expect(published).toEqual(records);
  });

  test("an instrumentation that fails at everything changes no answer", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const fail = () => {
      throw new Error("broken");
    };
    const { webhook, send } = await start({
      instrumentation: { delivery: fail, event: fail },
      observe: fail,
    });
    const heard = vi.fn();
    webhook.onAny(heard);
    const delivery = signed(tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT"));
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 2 });
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, duplicate: 2 });
    expect(heard).toHaveBeenCalledTimes(2);
  });

  test("the sender is told nothing of why its signature does not fit; the operator is", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const body = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED")] });
    const texts: string[] = [];
    for (const [sign, sent] of [
      [signToloka({ secret: "another", timestamp: NOW, body }), body],
      [signToloka({ secret: `${SECRET}\n`, timestamp: NOW, body }), body],
      [signToloka({ secret: SECRET, timestamp: NOW, body }), `${body}\n`],
      [signToloka({ secret: SECRET, timestamp: NOW, body }), JSON.stringify(JSON.parse(body), null, 2)],
    ] as const) {
      // Anew, as one receiver looks into one a minute.
      const { send } = await start();
      const answer = await send({ headers: sign.headers, body: sent });
      expect(answer.status).toBe(401);
      texts.push(answer.text);
    }
    expect(new Set(texts).size).toBe(1);
    // A webhook for each delivery also makes the fetch adapter warn.
    const lines = log.mock.calls.flat().filter((line) => String(line).includes("SIGNATURE_MISMATCH"));
    expect(lines.join("\n")).toMatch(
      /fits no secret.*\n.*line break after it.*\n.*a line break was added to the end.*\n.*serialized again/,
    );
    expect(log.mock.calls.join()).not.toContain(SECRET);
  });
});
