import { describe, expect, test, vi } from "vitest";
import type { ListenerContext } from "../src/listeners/context.js";
import type { Instrumentation } from "../src/observing/observe.js";
import { closed, never, receiverWith, signed } from "./deliveries.js";
import { virtualTime } from "./virtual-time.js";

virtualTime();

describe("instrumentation", () => {
  type Around = (run: () => Promise<unknown>) => unknown;
  const both = (around: Around): Instrumentation => ({
    delivery: (_, run) => around(run),
    event: (_, run) => around(run),
  });
  const broken = () => {
    throw new Error("hunter2");
  };

  test.each<[string, Around]>([
    ["only calls run", (run) => run()],
    ["throws before run", broken],
    ["throws after run", (run) => [run(), broken()]],
    ["rejects before run", () => Promise.reject(new Error("hunter2"))],
    ["rejects after run", (run) => run().then(broken)],
    ["never calls run", () => {}],
    ["calls run twice", (run) => [run(), run()]],
    ["calls run late", (run) => void setTimeout(run, 1_000)],
    ["never resolves", (run) => run().then(never)],
    // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
    ["returns a broken thenable", (run) => [run(), Object.defineProperty({}, "then", { get: broken })][1]],
    [
      "empties the result of run",
      (run) =>
        run().then((result) => {
          if (Array.isArray(result)) result.length = 0;
          else
            for (const key of Object.keys(result as object)) delete (result as Record<string, unknown>)[key];
        }),
    ],
    [
      "adds to the result of run",
      (run) =>
        run().then((result) => {
          if (Array.isArray(result)) result.push(new Error("hunter2"));
        }),
    ],
  ])("instrumentation that %s changes no reply, and every listener runs once", async (_, around) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const options of [{}, { concurrency: 16 }, { timeout: 5 }]) {
      const watched = receiverWith({ ...options, instrumentation: both(around) });
      const plain = receiverWith(options);
      const heard: string[] = [];
      for (const receiver of [watched, plain]) {
        receiver.onError(() => {});
        receiver.onAny(({ id }) => {
          if (receiver === watched) heard.push(id);
          if (id === "fails") throw new Error("broken");
        });
      }
      for (const delivery of [
        signed(closed("x"), closed("y")),
        signed(closed("fails"), closed("z"), closed("x")),
        { method: "GET", headers: {}, body: "" },
      ]) {
        expect(await watched.handle(delivery)).toEqual(await plain.handle(delivery));
      }
      await vi.advanceTimersByTimeAsync(1_000);
      expect(heard).toEqual(["x", "y", "fails", "z"]);
      expect(log.mock.calls.join()).not.toContain("hunter2");
    }
  });

  test("the log names instrumentation when it throws around a delivery or an event", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const runs: Around = (run) => run();
    for (const [delivery, event] of [
      [broken, runs],
      [runs, broken],
    ] as const) {
      log.mockClear();
      const receiver = receiverWith({
        instrumentation: { delivery: (_, run) => delivery(run), event: (_, run) => event(run) },
      });
      receiver.onAny(() => {});
      await receiver.handle(signed(closed("x")));
      expect(log).toHaveBeenCalledOnce();
      expect(log.mock.calls.join()).toMatch(/^crowdhook: toloka: instrumentation: /);
    }
  });

  test("instrumentation runs events inside their delivery, and gets the results of both", async () => {
    const log: unknown[] = [];
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const inside = new AsyncLocalStorage<string>();
    const receiver = receiverWith({
      instrumentation: {
        delivery: ({ provider, headers }, run) =>
          inside.run("delivery", async () => {
            log.push([provider, headers.get("Toloka-Signature")]);
            log.push((await run()).counts);
          }),
        event: (event, run) =>
          inside.run(`${inside.getStore()} > ${event.id}`, async () => {
            log.push(await run());
          }),
      },
    });
    const error = new Error("broken");
    receiver.onError(() => {});
    receiver.onAny(({ id }) => {
      log.push(inside.getStore());
      if (id === "b") throw error;
    });
    const delivery = signed(closed("a"), closed("b"));
    await receiver.handle(delivery);
    expect(log).toEqual([
      ["toloka", delivery.headers["toloka-signature"]],
      "delivery > a",
      [],
      "delivery > b",
      [error],
      { handled: 1, ignored: 0, duplicate: 0, failed: 1, busy: 0, unrecognized: 0 },
    ]);
  });

  test("instrumentation runs around receiver.dispatch, and gets the listeners' failures", async () => {
    const results: unknown[] = [];
    const receiver = receiverWith({
      instrumentation: {
        delivery: (_, run) => run(),
        event: (_, run) => run().then((failures) => results.push(...failures)),
      },
    });
    const error = new Error("broken");
    receiver.onError(() => {});
    receiver.onAny(() => Promise.reject(error));
    const context = { signal: new AbortController().signal } satisfies Partial<ListenerContext>;
    const event = { provider: "toloka", type: "NEW", id: "x", occurredAt: undefined, data: {}, problems: [] };
    await expect(receiver.dispatch(event, context)).rejects.toBe(error);
    expect(results).toEqual([error]);
  });
});
