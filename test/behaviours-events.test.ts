import { describe, expect, test, vi } from "vitest";
import { capabilitiesOf } from "./row-capabilities.js";
import { CASES, contentOf, NOTHING, NOW, prepare } from "./started.js";

describe.each(CASES)("$title on $name: events", (given) => {
  const { sender } = given;
  const { provider, defaultType } = sender;
  const { sendsManyEvents } = capabilitiesOf(sender);
  const { start, signed, eventWith, eventOfType, upTo, fieldsOf, idOf, misfit } = prepare(given);
  const { field, wrong, problem } = misfit();

  test("listener gets the event with its data, its time in UTC, and the delivery", async () => {
    const { webhook, send } = await start();
    const listener = vi.fn();
    webhook.on(defaultType, listener);
    const time = provider.definition?.envelope.time;
    const ownTime = time && "field" in time ? { [time.field]: "2020-02-14T12:22:58.5" } : undefined;
    const event = eventWith({ ...ownTime, added: { later: [1] } });
    const delivery = signed({ events: [event] });
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
    const [received, context] = listener.mock.calls[0] ?? [];
    expect(received).toEqual({
      provider: provider.name,
      type: defaultType,
      id: idOf(event, delivery),
      occurredAt: ownTime ? new Date("2020-02-14T12:22:58.500Z") : new Date(NOW),
      data: fieldsOf(event.content),
    });
    expect(Buffer.from(context.delivery.body).toString()).toBe(delivery.body);
    const [header] = provider.signatureFormat.headers;
    expect(context.delivery.headers.get(header)).toBe(delivery.headers[header.toLowerCase()]);
    expect(context.signal.aborted).toBe(false);
  });

  test("event of each type reaches the listener of its type", async () => {
    const { webhook, send } = await start();
    const types: string[] = [];
    for (const type of provider.eventTypes) webhook.on(type, (event) => void types.push(event.type));
    for (const type of provider.eventTypes) {
      const answer = await send(signed({ events: [eventWith({}, type)] }));
      expect([type, contentOf(answer)]).toEqual([type, { ...NOTHING, handled: 1 }]);
    }
    expect(types).toEqual(provider.eventTypes);
  });

  if (sendsManyEvents)
    test("events of a delivery run in order, each for the listeners of its type", async () => {
      const { send, types } = await start();
      const all = [...upTo(4)].reverse();
      expect(contentOf(await send(signed({ events: all })))).toEqual({ ...NOTHING, handled: 4 });
      expect(types).toEqual(all.map(({ content }) => content[sender.typeField]));
      expect(new Set(types).size).toBe(4);
    });

  test.each(["SOMETHING_NEW", "constructor", "__proto__", "toString"])(
    "event of the unknown type %s succeeds and reaches onUnrecognized and onAny",
    async (type) => {
      const { webhook, send, types } = await start();
      const unrecognized = vi.fn();
      webhook.onUnrecognized(unrecognized);
      const event = eventOfType(type);
      const delivery = signed({ events: [event] });
      const answer = await send(delivery);
      expect(answer.status).toBe(200);
      expect(contentOf(answer)).toEqual({ ...NOTHING, unrecognized: 1 });
      expect(types).toEqual([type]);
      const id = idOf(event, delivery);
      expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ type, id, problems: [] });
    },
  );

  test("event that does not fit its type fails, and onError gets the name of the field", async () => {
    const { webhook, send, types } = await start();
    const onError = vi.fn();
    webhook.onError(onError);
    const [, ...others] = upTo(2);
    const answer = await send(signed({ events: [eventWith({ [field]: wrong }), ...others] }));
    expect(answer.status).toBe(500);
    expect(contentOf(answer)).toEqual({
      code: "EVENT_FAILED",
      message: expect.any(String),
      ...NOTHING,
      handled: others.length,
      failed: 1,
    });
    expect(types).toEqual(others.map(({ content }) => content[sender.typeField]));
    expect(onError.mock.calls[0]?.[0].message).toContain(problem);
  });

  test("event that has its type and nothing else fails", async () => {
    const { webhook, send, types } = await start();
    webhook.onError(() => {});
    const { id } = eventWith();
    const answer = await send(signed({ events: [{ id, content: { [sender.typeField]: defaultType } }] }));
    expect([answer.status, contentOf(answer).code]).toEqual([500, "EVENT_FAILED"]);
    expect(types).toEqual([]);
  });

  test("event that does not fit its type succeeds when an onUnrecognized listener takes it", async () => {
    const { webhook, send } = await start();
    const unrecognized = vi.fn();
    webhook.onUnrecognized(unrecognized);
    const answer = await send(signed({ events: [eventWith({ [field]: null })] }));
    expect(answer.status).toBe(200);
    expect(unrecognized.mock.calls[0]?.[0]).toMatchObject({ problems: [problem] });
  });

  test("redelivery runs a failed event again", async () => {
    const { webhook, send } = await start();
    webhook.onError(() => {});
    let calls = 0;
    webhook.on(defaultType, () => {
      if (++calls === 1) throw new Error("broken");
    });
    const delivery = signed();
    expect((await send(delivery)).status).toBe(500);
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, handled: 1 });
    expect(contentOf(await send(delivery))).toEqual({ ...NOTHING, duplicate: 1 });
    expect(calls).toBe(2);
  });

  if (sendsManyEvents)
    test("redelivery runs only the failed event", async () => {
      const { webhook, send } = await start();
      const ran: string[] = [];
      let broken = true;
      webhook.onError(() => {});
      const events = ["first", "second", "third", "fourth"].map((name) => eventWith({ name }));
      webhook.on(defaultType, async ({ data }) => {
        ran.push(data.name);
        if (broken && data.name === "third") throw new Error("broken");
      });
      const delivery = signed({ events });
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
        webhook.on(defaultType, listener);
        webhook.on(defaultType, sibling);
        const answer = await send(signed());
        expect(answer.status).toBe(500);
        expect(sibling).toHaveBeenCalledOnce();
        expect(log).toHaveBeenCalledOnce();
        expect(log.mock.calls.join()).toMatch(/EVENT_FAILED: event /);
        expect(log.mock.calls.join()).toContain(` of type "${defaultType}" failed`);
        expect(log.mock.calls.join()).toMatch(description);
        const message = "An event could not be handled. Retry later.";
        expect(contentOf(answer)).toEqual({ ...NOTHING, code: "EVENT_FAILED", message, failed: 1 });
        const errors: unknown[] = [];
        webhook.onError((error, event) => errors.push(error, event.type));
        await send(signed());
        expect(errors).toEqual([value, defaultType]);
        expect(log).toHaveBeenCalledOnce();
        log.mockRestore();
      }
    },
  );

  test("onError listener that throws or rejects does not affect the others", async () => {
    const { webhook, send } = await start();
    webhook.on(defaultType, () => {
      throw new Error("first");
    });
    const last = vi.fn();
    webhook.onError(() => {
      throw new Error("second");
    });
    webhook.onError(() => Promise.reject(new Error("third")));
    webhook.onError(last);
    expect((await send(signed())).status).toBe(500);
    expect(last).toHaveBeenCalledOnce();
  });
});
