import { beforeEach, describe, expect, test, vi } from "vitest";
import { memoryClaims } from "../src/claiming/memory-claims.js";
import { closed, receiverWith, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("sink", () => {
  const ids = (accept: ReturnType<typeof vi.fn>) =>
    accept.mock.calls.map(([events]) => events.map(({ id }: { id: string }) => id));

  test("a sink gets all won events of a delivery in one call, and listeners get none", async () => {
    const claims = memoryClaims();
    claims.claim("toloka:held", "another process", 60_000);
    for (const accept of [vi.fn(), vi.fn(async () => {})]) {
      const receiver = receiverWith({ claims, sink: { accept } });
      const listener = vi.fn();
      receiver.onAny(listener);
      const name = String(Math.random());
      const delivery = signed(closed(`${name}-1`), closed("held"), closed(`${name}-2`));
      const reply = await receiver.handle(delivery);
      expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_BUSY", handled: 2, busy: 1 });
      expect(ids(accept)).toEqual([[`${name}-1`, `${name}-2`]]);
      expect(accept.mock.lastCall?.[1]).toMatchObject({ stale: false, delivery: { method: "POST" } });
      const again = await receiver.handle(delivery);
      expect(JSON.parse(again.body)).toMatchObject({ duplicate: 2, busy: 1 });
      expect(accept).toHaveBeenCalledOnce();
      expect(listener).not.toHaveBeenCalled();
    }
  });

  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("hunter2");
      },
    ],
    ["rejects", () => Promise.reject(new Error("hunter2"))],
  ])(
    "the reply is SINK_UNAVAILABLE when a sink %s, and a redelivery offers all events again",
    async (_, fail) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const store = memoryClaims();
      for (const claims of [undefined, store]) {
        const accept = vi.fn<() => unknown>().mockImplementationOnce(fail);
        const receiver = receiverWith({ claims, sink: { accept: accept as () => void } });
        const delivery = signed(closed("1"), closed("2"));
        const reply = await receiver.handle(delivery);
        expect([reply.status, JSON.parse(reply.body)]).toEqual([
          503,
          expect.objectContaining({ code: "SINK_UNAVAILABLE", handled: 0, failed: 0 }),
        ]);
        expect(store.claim("toloka:1", "another process", 0)).toBe("won");
        expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ handled: 2 });
        expect(ids(accept)).toEqual([
          ["1", "2"],
          ["1", "2"],
        ]);
      }
      expect(log.mock.calls.join()).toContain("SINK_UNAVAILABLE");
      expect(log.mock.calls.join()).not.toContain("hunter2");
    },
  );
});

describe("receiver.dispatch", () => {
  const event = { provider: "toloka", type: "NEW", id: "x", occurredAt: undefined, data: {}, problems: [] };
  const { signal } = new AbortController();

  test("dispatch resolves when all listeners succeed, and gives them the worker's context without a delivery", async () => {
    const receiver = receiverWith({ sink: { accept() {} } });
    const contexts: object[] = [];
    receiver.onAny(async (_, context) => contexts.push(context));
    const progress = async () => {};
    await receiver.dispatch(event, { signal, attempt: 3, progress });
    expect(contexts).toEqual([{ signal, attempt: 3, progress, stale: false }]);
    expect(() => (contexts[0] as { delivery: unknown }).delivery).toThrow(
      /context.delivery does not exist in a sink's worker/,
    );
  });

  test("dispatch rejects with the error of a listener, or with an AggregateError when several fail", async () => {
    const receiver = receiverWith();
    receiver.onError(() => {});
    const errors = [new Error("one"), new Error("two")];
    const [one, two] = errors;
    receiver.onAny(() => Promise.reject(one));
    await expect(receiver.dispatch(event, { signal })).rejects.toBe(one);
    receiver.onAny(() => {
      throw two;
    });
    await expect(receiver.dispatch(event, { signal })).rejects.toMatchObject({
      name: "AggregateError",
      errors: expect.arrayContaining(errors),
      message: "Several listeners failed.",
    });
  });
});
