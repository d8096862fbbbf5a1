import { tolokaEvent } from "@crowdhook/core/testing";
import type { TolokaEventType } from "@crowdhook/core/toloka";
import { describe, expect, test, vi } from "vitest";
import { contentOf, NOTHING, prepare, signed } from "./started.js";
import { TARGETS } from "./targets.js";

describe.each(TARGETS)("$name: events", (target) => {
  const { start } = prepare(target);

  test("listener gets the event with its data, its time in UTC, and the delivery", async () => {
    const { webhook, send } = await start();
    const listener = vi.fn();
    webhook.on("POOL_CLOSED", listener);
    const data = tolokaEvent("POOL_CLOSED", {
      uuid: "u",
      event_time: "2020-02-14T12:22:58.5",
      added: { later: [1] },
    });
    const delivery = signed([data]);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
    const [event, context] = listener.mock.calls[0] ?? [];
    expect(event).toEqual({
      provider: "toloka",
      type: "POOL_CLOSED",
      id: "u",
      occurredAt: new Date("2020-02-14T12:22:58.500Z"),
      data,
    });
    expect(Buffer.from(context.delivery.body).toString()).toBe(delivery.body);
    expect(context.delivery.headers.get("Toloka-Signature")).toBe(delivery.headers["toloka-signature"]);
    expect(context.signal.aborted).toBe(false);
  });

  test("events of a delivery run in order, each for the listeners of its type", async () => {
    const { send, types } = await start();
    const all: TolokaEventType[] = [
      "ASSIGNMENT_CREATED",
      "POOL_CLOSED",
      "ASSIGNMENT_SUBMITTED",
      "TEST_EVENT",
    ];
    expect(contentOf(await send(signed(all.map((type) => tolokaEvent(type)))))).toEqual({
      ...NOTHING,
      handled: 4,
    });
    expect(types).toEqual(all);
  });

  test.each(["POOL_REOPENED", "constructor", "__proto__", "toString"])(
    "event of the unknown type %s succeeds and reaches onUnrecognized and onAny",
    async (type) => {
      const { webhook, send, types } = await start();
      const unrecognized = vi.fn();
      webhook.onUnrecognized(unrecognized);
      const answer = await send(signed([{ ...tolokaEvent("POOL_CLOSED", { uuid: "u" }), type }]));
      expect(answer.status).toBe(200);
      expect(contentOf(answer)).toEqual({ ...NOTHING, unrecognized: 1 });
      expect(types).toEqual([type]);
      expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ type, id: "u", problems: [] });
    },
  );

  test("event that does not fit its type fails, and onError gets the name of the field", async () => {
    const { webhook, send, types } = await start();
    const onError = vi.fn();
    webhook.onError(onError);
    const answer = await send(
      signed([tolokaEvent("POOL_CLOSED", { close_reason: 7 }), tolokaEvent("TEST_EVENT")]),
    );
    expect(answer.status).toBe(500);
    expect(contentOf(answer)).toEqual({
      code: "EVENT_FAILED",
      message: expect.any(String),
      ...NOTHING,
      handled: 1,
      failed: 1,
    });
    expect(types).toEqual(["TEST_EVENT"]);
    expect(onError.mock.calls[0]?.[0].message).toContain("close_reason: expected string");
  });

  test("event that does not fit its type succeeds when an onUnrecognized listener takes it", async () => {
    const { webhook, send } = await start();
    const unrecognized = vi.fn();
    webhook.onUnrecognized(unrecognized);
    const answer = await send(signed([tolokaEvent("POOL_CLOSED", { close_reason: null })]));
    expect(answer.status).toBe(200);
    expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ problems: ["close_reason: expected string"] });
  });

  test("redelivery runs only the failed event", async () => {
    const { webhook, send } = await start();
    const ran: string[] = [];
    let broken = true;
    webhook.onError(() => {});
    webhook.on("ASSIGNMENT_SUBMITTED", async (event) => {
      ran.push(event.data.assignment_id);
      if (broken && event.data.assignment_id === "third") throw new Error("broken");
    });
    const delivery = signed(
      ["first", "second", "third", "fourth"].map((assignment_id) =>
        tolokaEvent("ASSIGNMENT_SUBMITTED", { assignment_id }),
      ),
    );
    const failed = await send(delivery);
    expect(failed.status).toBe(500);
    expect(contentOf(failed)).toMatchObject({ code: "EVENT_FAILED", handled: 3, failed: 1 });
    expect(ran).toEqual(["first", "second", "third", "fourth"]);
    broken = false;
    const redelivered = await send(delivery);
    expect(redelivered.status).toBe(200);
    expect(contentOf(redelivered)).toEqual({ ...NOTHING, handled: 1, duplicate: 3 });
    expect(ran.slice(4)).toEqual(["third"]);
  });

  test.each([
    ["an Error", new Error("hunter2"), /Error: hunter2 \[docs.*\]\n {4,}at .*behaviours-events/],
    ["a string", "hunter2", /hunter2 \[docs.*\]$/],
    ["undefined", undefined, /undefined \[docs.*\]$/],
    ["a frozen object", Object.freeze({ secret: "hunter2" }), /\[object Object\] \[docs.*\]$/],
  ])(
    "listener that throws or rejects with %s fails the event, and only the log quotes the error",
    async (_, value, description) => {
      for (const listener of [
        () => {
          throw value;
        },
        async () => {
          throw value;
        },
      ]) {
        const log = vi.spyOn(console, "error").mockImplementation(() => {});
        const { webhook, send } = await start();
        const sibling = vi.fn();
        webhook.on("POOL_CLOSED", listener);
        webhook.on("POOL_CLOSED", sibling);
        const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
        expect(answer.status).toBe(500);
        expect(sibling).toHaveBeenCalledOnce();
        expect(log).toHaveBeenCalledOnce();
        expect(log.mock.calls.join()).toMatch(/EVENT_FAILED: event .* of type "POOL_CLOSED" failed/);
        expect(log.mock.calls.join()).toMatch(description);
        const message = "An event could not be handled. Retry later.";
        expect(contentOf(answer)).toEqual({ ...NOTHING, code: "EVENT_FAILED", message, failed: 1 });
        const errors: unknown[] = [];
        webhook.onError((error, event) => errors.push(error, event.type));
        await send(signed([tolokaEvent("POOL_CLOSED")]));
        expect(errors).toEqual([value, "POOL_CLOSED"]);
        expect(log).toHaveBeenCalledOnce();
        log.mockRestore();
      }
    },
  );

  test("onError listener that throws or rejects does not affect the others", async () => {
    const { webhook, send } = await start();
    webhook.on("POOL_CLOSED", () => {
      throw new Error("first");
    });
    const last = vi.fn();
    webhook.onError(() => {
      throw new Error("second");
    });
    webhook.onError(() => Promise.reject(new Error("third")));
    webhook.onError(last);
    expect((await send(signed([tolokaEvent("POOL_CLOSED")]))).status).toBe(500);
    expect(last).toHaveBeenCalledOnce();
  });
});
