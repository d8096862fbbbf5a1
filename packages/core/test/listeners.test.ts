import { beforeEach, describe, expect, test, vi } from "vitest";
import { ASSIGNMENT_EVENT_TYPES, toloka } from "../src/providers/toloka/index.js";
import { tolokaEvent } from "../src/testing.js";
import { receiverWith, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("listeners", () => {
  test("off removes a listener from all its types when it was registered for a list of types", async () => {
    const receiver = receiverWith();
    const heard: string[] = [];
    const off = receiver.on(ASSIGNMENT_EVENT_TYPES, (event) => heard.push(event.data.assignment_id));
    const deliver = () => receiver.handle(signed(...ASSIGNMENT_EVENT_TYPES.map((type) => tolokaEvent(type))));
    await deliver();
    expect(heard).toHaveLength(6);
    off();
    off();
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(JSON.parse((await deliver()).body)).toMatchObject({ handled: 0, ignored: 6 });
    expect(heard).toHaveLength(6);
  });

  test("a listener runs once when its list names a type twice", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    receiver.on(["POOL_CLOSED", "POOL_CLOSED"], listener);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledOnce();
  });

  test("listenedTypes names the types that have a listener, or all types while an onAny listener is registered", () => {
    const receiver = receiverWith();
    expect(receiver.listenedTypes()).toEqual([]);
    const off = receiver.on(["TEST_EVENT", "POOL_CLOSED"], () => {});
    receiver.onUnrecognized(() => {});
    receiver.onError(() => {});
    expect(receiver.listenedTypes()).toEqual(["POOL_CLOSED", "TEST_EVENT"]);
    const offAny = receiver.onAny(() => {});
    expect(receiver.listenedTypes()).toEqual(toloka.eventTypes);
    offAny();
    off();
    expect(receiver.listenedTypes()).toEqual([]);
  });

  test("a function runs twice when it is registered twice, and each off removes one registration", async () => {
    const receiver = receiverWith();
    const listener = vi.fn();
    const off = receiver.on("POOL_CLOSED", listener);
    receiver.on("POOL_CLOSED", listener);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledTimes(2);
    off();
    off();
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(listener).toHaveBeenCalledTimes(3);
  });

  test("an event keeps its listeners when one of them removes itself and adds another", async () => {
    const receiver = receiverWith();
    const heard: string[] = [];
    const off = receiver.on("POOL_CLOSED", () => {
      heard.push("first");
      off();
      receiver.on("POOL_CLOSED", () => heard.push("added"));
    });
    receiver.on("POOL_CLOSED", () => heard.push("second"));
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(heard).toEqual(["first", "second"]);
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(heard).toEqual(["first", "second", "second", "added"]);
  });

  test("off removes a listener that onAny, onUnrecognized or onError registered", async () => {
    const receiver = receiverWith();
    const listener = vi.fn(() => {
      throw new Error("broken");
    });
    const heard = vi.fn();
    const offs = [receiver.onAny(listener), receiver.onUnrecognized(listener), receiver.onError(heard)];
    const events = () => signed({ ...tolokaEvent("POOL_CLOSED"), type: "NEW" });
    await receiver.handle(events());
    expect([listener.mock.calls.length, heard.mock.calls.length]).toEqual([2, 2]);
    for (const off of offs) off();
    vi.spyOn(console, "error").mockImplementation(() => {});
    const reply = await receiver.handle(events());
    expect(JSON.parse(reply.body)).toMatchObject({ ignored: 1, failed: 0 });
    expect([listener.mock.calls.length, heard.mock.calls.length]).toEqual([2, 2]);
  });

  test("the listeners of an event run concurrently, and the next event waits for all of them", async () => {
    const receiver = receiverWith();
    const log: string[] = [];
    const listener = (name: string) => async (event: { id: string }) => {
      log.push(`${event.id}: ${name} begins`);
      await Promise.resolve();
      log.push(`${event.id}: ${name} ends`);
    };
    receiver.on("POOL_CLOSED", listener("a"));
    receiver.on("POOL_CLOSED", listener("b"));
    await receiver.handle(
      signed(tolokaEvent("POOL_CLOSED", { uuid: "1" }), tolokaEvent("POOL_CLOSED", { uuid: "2" })),
    );
    expect(log).toEqual(
      ["1", "2"].flatMap((id) => [`${id}: a begins`, `${id}: b begins`, `${id}: a ends`, `${id}: b ends`]),
    );
  });

  test("registration throws and names the mistake when the type is unknown or the listener is not a function", () => {
    const receiver = receiverWith();
    expect(() => receiver.on("POOL_CLOSE" as "POOL_CLOSED", () => {})).toThrow(
      /toloka has no event type "POOL_CLOSE". Use one of POOL_CLOSED, .*onUnrecognized/,
    );
    expect(() => receiver.on("constructor" as "POOL_CLOSED", () => {})).toThrow(
      /no event type "constructor"/,
    );
    for (const [listener, kind] of [
      [undefined, "undefined"],
      [null, "null"],
      [{}, "object"],
    ] as const) {
      expect(() => receiver.onAny(listener as never)).toThrow(`A listener must be a function, not ${kind}.`);
    }
  });

  test("the receiver awaits a listener's thenable, and fails the event when the thenable throws", async () => {
    const receiver = receiverWith();
    receiver.onError(() => {});
    let waited = false;
    receiver.on("POOL_CLOSED", () => ({
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
      then(resolve: () => void) {
        waited = true;
        resolve();
      },
    }));
    expect((await receiver.handle(signed(tolokaEvent("POOL_CLOSED")))).status).toBe(200);
    expect(waited).toBe(true);
    receiver.on("TEST_EVENT", () => ({
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
      get then() {
        throw new Error("broken");
      },
    }));
    expect((await receiver.handle(signed(tolokaEvent("TEST_EVENT")))).status).toBe(500);
  });
});
