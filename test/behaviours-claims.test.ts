import { type ClaimStore, memoryClaims } from "@crowdhook/core";
import { tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test, vi } from "vitest";
import { contentOf, NOTHING, prepare, signed } from "./started.js";
import { TARGETS } from "./targets.js";

describe.each(TARGETS)("$name: claims and sinks", (target) => {
  const { clock, start } = prepare(target);

  test("event that is twice in one delivery runs once", async () => {
    const { send, types } = await start();
    const event = tolokaEvent("POOL_CLOSED");
    expect(contentOf(await send(signed([event, event])))).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
    expect(types).toEqual(["POOL_CLOSED"]);
  });

  test("event that is twice in one delivery and fails runs once, and both count as failed", async () => {
    const { webhook, send } = await start();
    const listener = vi.fn(() => Promise.reject(new Error("broken")));
    webhook.on("POOL_CLOSED", listener);
    webhook.onError(() => {});
    const event = tolokaEvent("POOL_CLOSED");
    expect(contentOf(await send(signed([event, event])))).toMatchObject({ failed: 2 });
    expect(listener).toHaveBeenCalledOnce();
  });

  test("redelivered event is a duplicate for 24 hours", async () => {
    const { send, types } = await start();
    const events = [tolokaEvent("POOL_CLOSED")];
    await send(signed(events));
    clock.advance(24 * 60 * 60 * 1000 - 1);
    expect(contentOf(await send(signed(events, clock())))).toEqual({ ...NOTHING, duplicate: 1 });
    clock.advance(1);
    expect(contentOf(await send(signed(events, clock())))).toEqual({ ...NOTHING, handled: 1 });
    expect(types).toHaveLength(2);
  });

  test("concurrent deliveries of one event run it once and share its outcome", async () => {
    const { webhook, send } = await start();
    let finish = (_: string) => {};
    const listener = vi.fn(
      () =>
        new Promise<string>((resolve) => {
          finish = resolve;
        }),
    );
    const running = new Promise<void>((resolve) => webhook.onAny(() => resolve()));
    webhook.on("POOL_CLOSED", listener);
    const delivery = signed([tolokaEvent("POOL_CLOSED")]);
    const answers = Array.from({ length: 5 }, () => send(delivery));
    // Another delivery is answered first, so a premature answer to these five would have arrived by now.
    await running;
    const bystander = await send(signed([tolokaEvent("TEST_EVENT")]));
    expect(bystander.status).toBe(200);
    finish("");
    const counts = (await Promise.all(answers)).map(contentOf);
    expect(listener).toHaveBeenCalledOnce();
    expect(counts.filter((count) => count.handled === 1)).toHaveLength(1);
    expect(counts.filter((count) => count.duplicate === 1)).toHaveLength(4);
  });

  const storeThat = (broken: Partial<ClaimStore>): ClaimStore => ({
    ...memoryClaims({ clock }),
    ...broken,
  });
  const fails = () => {
    throw new Error("redis://:hunter2@store");
  };
  const rejects = () => Promise.reject(new Error("redis://:hunter2@store"));

  test.each([
    ["throws", fails],
    ["rejects", rejects],
  ])("delivery gets 503 and no listener runs when the claim store %s at the claim", async (_, claim) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { send, types } = await start({ claims: storeThat({ claim }) });
    const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(answer)).toMatchObject({ code: "STORE_UNAVAILABLE", ...NOTHING });
    expect(types).toEqual([]);
    expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
  });

  test.each([
    ["throws", fails],
    ["rejects", rejects],
  ])(
    "delivery gets 503 without a failed event when the claim store %s after the listener succeeded",
    async (_, settle) => {
      vi.spyOn(console, "error").mockImplementation(() => {});
      const { webhook, send, types } = await start({ claims: storeThat({ settle }) });
      const onError = vi.fn();
      webhook.onError(onError);
      const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
      expect(contentOf(answer)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 1, failed: 0 });
      expect(types).toEqual(["POOL_CLOSED"]);
      expect(onError).not.toHaveBeenCalled();
    },
  );

  test.each([
    ["throws", fails],
    ["rejects", rejects],
  ])("failed event stays failed when the claim store %s at the release", async (_, release) => {
    const { webhook, send } = await start({ claims: storeThat({ release }) });
    webhook.on("POOL_CLOSED", () => {
      throw new Error("broken");
    });
    webhook.onError(() => {});
    expect(contentOf(await send(signed([tolokaEvent("POOL_CLOSED")])))).toMatchObject({
      code: "EVENT_FAILED",
    });
  });

  test("event that another process has claimed gets 503, and the other events are handled", async () => {
    const claims = memoryClaims({ clock });
    claims.claim("toloka:held", "another process", 60_000);
    const { send, types } = await start({ claims });
    const delivery = signed([tolokaEvent("POOL_CLOSED", { uuid: "held" }), tolokaEvent("TEST_EVENT")]);
    const answer = await send(delivery);
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(answer)).toMatchObject({ code: "EVENT_BUSY", busy: 1, handled: 1 });
    clock.advance(60_000);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
    expect(types).toEqual(["TEST_EVENT", "POOL_CLOSED"]);
  });

  test("sink accepts the events in place of the listeners, and gets no duplicates", async () => {
    const accept = vi.fn();
    const { send, types } = await start({ sink: { accept } });
    const events = [tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")];
    expect(contentOf(await send(signed(events)))).toEqual({ ...NOTHING, handled: 2 });
    expect(contentOf(await send(signed(events)))).toEqual({ ...NOTHING, duplicate: 2 });
    expect(accept).toHaveBeenCalledOnce();
    expect(accept.mock.calls[0]?.[0]).toMatchObject([{ type: "POOL_CLOSED" }, { type: "TEST_EVENT" }]);
    expect(types).toEqual([]);
  });

  test("delivery gets 503 when the sink fails, and the sink gets the redelivery", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const accept = vi.fn().mockRejectedValueOnce(new Error("postgres://:hunter2@sink"));
    const { send } = await start({ sink: { accept } });
    const delivery = signed([tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")]);
    const answer = await send(delivery);
    expect([answer.status, contentOf(answer).code]).toEqual([503, "SINK_UNAVAILABLE"]);
    expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 2 });
  });
});
