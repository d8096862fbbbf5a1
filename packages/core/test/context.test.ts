import { describe, expect, test, vi } from "vitest";
import { tolokaEvent } from "../src/testing.js";
import { closed, contentOf, receiverWith, signed } from "./deliveries.js";

describe("listener context", () => {
  test("the context holds the verified delivery: its method, headers and bytes", async () => {
    const receiver = receiverWith();
    const { method, headers, body } = signed(tolokaEvent("POOL_CLOSED"));
    const seen: unknown[] = [];
    receiver.onAny((_, { delivery }) => {
      seen.push(delivery.method, delivery.headers.get("Toloka-Signature"));
      seen.push(new TextDecoder().decode(delivery.body));
    });
    await receiver.handle({ method, headers, body });
    expect(seen).toEqual(["POST", headers["toloka-signature"], body]);
  });

  test("the context reads the delivery's signal once, and only when a listener asks for it", async () => {
    const receiver = receiverWith();
    const controller = new AbortController();
    const made = vi.fn(() => controller.signal);
    const delivery = (...events: object[]) =>
      Object.defineProperty({ ...signed(...events) }, "signal", { get: made });
    receiver.onAny(() => {});
    await receiver.handle(delivery(tolokaEvent("POOL_CLOSED")));
    expect(made).not.toHaveBeenCalled();
    const signals = new Set<AbortSignal>();
    receiver.onAny((_, context) => signals.add(context.signal));
    await receiver.handle(delivery(tolokaEvent("POOL_CLOSED"), tolokaEvent("TEST_EVENT")));
    expect(made).toHaveBeenCalledOnce();
    expect([...signals]).toEqual([controller.signal]);
  });

  test("the context has a signal that never aborts when the delivery has none", async () => {
    const receiver = receiverWith();
    const aborted: boolean[] = [];
    receiver.onAny((_, { signal }) => aborted.push(signal.aborted));
    await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(aborted).toEqual([false]);
  });

  test("a copy of the context keeps its signal and its delivery", async () => {
    const receiver = receiverWith();
    const { signal } = new AbortController();
    const seen: unknown[] = [];
    receiver.on("POOL_CLOSED", (_event, context) => {
      const copy = { ...context, log: () => {} };
      seen.push(copy.signal, copy.stale, copy.delivery.method, Object.create(context).signal);
    });
    await receiver.handle({ ...signed(tolokaEvent("POOL_CLOSED")), signal });
    expect(seen).toEqual([signal, false, "POST", signal]);
  });

  test.each([[60], [undefined]])(
    "Node prints no warning when a thousand events use the signal, 50 at once (timeout: %s)",
    async (timeout) => {
      const warnings: Error[] = [];
      const warned = (warning: Error) => warnings.push(warning);
      process.on("warning", warned);
      const { signal } = new AbortController();
      const added = vi.spyOn(signal, "addEventListener");
      const receiver = receiverWith({ timeout, concurrency: 50, orderingKey: () => undefined });
      receiver.onAny(async (_event, context) => {
        const ignore = () => {};
        context.signal.addEventListener("abort", ignore);
        await new Promise((resolve) => setImmediate(resolve));
        context.signal.removeEventListener("abort", ignore);
      });
      const events = Array.from({ length: 1_000 }, (_, i) => closed(String(i)));
      expect(contentOf(await receiver.handle({ ...signed(...events), signal })).handled).toBe(1_000);
      // Node emits warnings in a later tick.
      await new Promise((resolve) => setImmediate(resolve));
      process.off("warning", warned);
      expect(added).toHaveBeenCalledTimes(1_000);
      expect(warnings).toEqual([]);
    },
  );
});
