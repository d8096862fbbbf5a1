import { type ClaimStore, memoryClaims } from "@crowdhook/core";
import { describe, expect, test, vi } from "vitest";
import { capabilitiesOf } from "./row-capabilities.js";
import { CASES, contentOf, NOTHING, prepare } from "./started.js";

const DAY_MS = 24 * 60 * 60 * 1000;

describe.each(CASES)("$title on $name: claims and sinks", (given) => {
  const { sender } = given;
  const { provider, defaultType, typeField } = sender;
  const { sendsManyEvents, signsTime } = capabilitiesOf(sender);
  const { clock, start, signed, eventWith, upTo, idOf } = prepare(given);

  if (sendsManyEvents) {
    test("event that is twice in one delivery runs once", async () => {
      const { send, types } = await start();
      const event = eventWith();
      const answer = await send(signed({ events: [event, event] }));
      expect(contentOf(answer)).toEqual({ ...NOTHING, handled: 1, duplicate: 1 });
      expect(types).toEqual([defaultType]);
    });

    test("event that is twice in one delivery and fails runs once, and both count as failed", async () => {
      const { webhook, send } = await start();
      const listener = vi.fn(() => Promise.reject(new Error("broken")));
      webhook.on(defaultType, listener);
      webhook.onError(() => {});
      const event = eventWith();
      expect(contentOf(await send(signed({ events: [event, event] })))).toMatchObject({ failed: 2 });
      expect(listener).toHaveBeenCalledOnce();
    });
  }

  const days = signsTime ? 1 : 7;
  test(`redelivered event is a duplicate for ${days * 24} hours`, async () => {
    const { send, types } = await start();
    const events = [eventWith()];
    await send(signed({ events }));
    clock.advance(days * DAY_MS - 1);
    // Chunked, because the same event in other packets is the same event.
    const again = { ...signed({ events }), chunked: true };
    expect(contentOf(await send(again))).toEqual({ ...NOTHING, duplicate: 1 });
    clock.advance(1);
    expect(contentOf(await send(signed({ events })))).toEqual({ ...NOTHING, handled: 1 });
    expect(types).toHaveLength(2);
  });

  test("concurrent deliveries of one event run it once and share its outcome", async () => {
    const { webhook, send } = await start();
    const held = eventWith();
    const bystanding = eventWith();
    const delivery = signed({ events: [held] });
    const bystander = signed({ events: [bystanding] });
    let finish = () => {};
    const listener = vi.fn(
      ({ id }: { id: string }) =>
        id === idOf(bystanding, bystander) ||
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const running = new Promise<void>((resolve) => webhook.onAny(() => resolve()));
    webhook.on(defaultType, listener);
    const answers = Array.from({ length: 5 }, () => send(delivery));
    // Another delivery is answered first, so a premature answer to these five would have arrived by now.
    await running;
    expect((await send(bystander)).status).toBe(200);
    finish();
    const counts = (await Promise.all(answers)).map(contentOf);
    expect(listener).toHaveBeenCalledTimes(2);
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
    const answer = await send(signed());
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
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const { webhook, send, types } = await start({ claims: storeThat({ settle }) });
      const onError = vi.fn();
      webhook.onError(onError);
      const answer = await send(signed());
      expect(contentOf(answer)).toMatchObject({ code: "STORE_UNAVAILABLE", handled: 1, failed: 0 });
      expect(types).toEqual([defaultType]);
      expect(onError).not.toHaveBeenCalled();
      expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
    },
  );

  test.each([
    ["throws", fails],
    ["rejects", rejects],
  ])("failed event stays failed when the claim store %s at the release", async (_, release) => {
    const { webhook, send } = await start({ claims: storeThat({ release }) });
    webhook.on(defaultType, () => {
      throw new Error("broken");
    });
    webhook.onError(() => {});
    expect(contentOf(await send(signed()))).toMatchObject({ code: "EVENT_FAILED" });
  });

  test("event that another process has claimed gets 503, and the other events are handled", async () => {
    const claims = memoryClaims({ clock });
    const { send, types } = await start({ claims });
    const [held, ...others] = upTo(2);
    const delivery = signed({ events: [held, ...others] });
    claims.claim(`${provider.name}:${idOf(held, delivery)}`, "another process", 60_000);
    const answer = await send(delivery);
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(answer)).toMatchObject({ code: "EVENT_BUSY", busy: 1, handled: others.length });
    clock.advance(60_000);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1, duplicate: others.length });
    expect(types).toEqual([...others, held].map(({ content }) => content[typeField]));
  });

  test("sink accepts the events in place of the listeners, and gets no duplicates", async () => {
    const accept = vi.fn();
    const { send, types } = await start({ sink: { accept } });
    const events = upTo(2);
    const { length } = events;
    expect(contentOf(await send(signed({ events })))).toEqual({ ...NOTHING, handled: length });
    expect(contentOf(await send(signed({ events })))).toEqual({ ...NOTHING, duplicate: length });
    expect(accept).toHaveBeenCalledOnce();
    const accepted = events.map(({ content }) => ({ type: content[typeField] }));
    expect(accept.mock.calls[0]?.[0]).toMatchObject(accepted);
    expect(types).toEqual([]);
  });

  test("delivery gets 503 when the sink fails, and the sink gets the redelivery", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const accept = vi.fn().mockRejectedValueOnce(new Error("postgres://:hunter2@sink"));
    const { send } = await start({ sink: { accept } });
    const events = upTo(2);
    const delivery = signed({ events });
    const answer = await send(delivery);
    expect([answer.status, contentOf(answer).code]).toEqual([503, "SINK_UNAVAILABLE"]);
    expect(answer.text + log.mock.calls.join()).not.toContain("hunter2");
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: events.length });
    expect(accept).toHaveBeenCalledTimes(2);
  });
});
