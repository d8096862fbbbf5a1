import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Provider } from "../src/provider.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { tolokaEvent } from "../src/testing.js";
import { receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("handle", () => {
  test("handle resolves to INTERNAL_ERROR when a provider throws, and neither reply nor log quotes the message", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const failing: Provider = {
      ...(toloka as unknown as Provider),
      parseEvents() {
        throw new RangeError("hunter2");
      },
    };
    const receiver = createReceiver(failing, { unsigned: true });
    const reply = await receiver.handle({ method: "POST", headers: {}, body: "{}" });
    expect([reply.status, JSON.parse(reply.body).code]).toEqual([500, "INTERNAL_ERROR"]);
    expect(log.mock.calls.join()).toContain("RangeError");
    expect(reply.body + log.mock.calls.join()).not.toContain("hunter2");
  });

  test("handle awaits thenables from a claim store and from a secret function when they have nothing but then", async () => {
    const thenable = <T>(value: T): Promise<T> => {
      const then = (resolve: (value: T) => void) => queueMicrotask(() => resolve(value));
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
      return Object.defineProperty({}, "then", { value: then }) as Promise<T>;
    };
    const receiver = receiverWith({
      secret: () => thenable(SECRET),
      claims: {
        claim: () => thenable("won"),
        settle: () => thenable(true),
        release: () => thenable(undefined),
      },
    });
    receiver.onAny(() => {});
    const reply = await receiver.handle(signed(tolokaEvent("POOL_CLOSED")));
    expect(JSON.parse(reply.body)).toMatchObject({ handled: 1, ignored: 0 });
  });

  test("handle accepts the next delivery from inside a listener, for a backlog of 5,000 deliveries", async () => {
    const receiver = receiverWith();
    const backlog = Array.from({ length: 5000 }, () => signed(tolokaEvent("POOL_CLOSED")));
    const replies: Promise<unknown>[] = [];
    const next = () => {
      const delivery = backlog.pop();
      if (delivery) replies.push(receiver.handle(delivery).then(({ status }) => status));
    };
    receiver.on("POOL_CLOSED", next);
    next();
    // Each delivery pushes another reply, so the length grows during the loop.
    for (let i = 0; i < replies.length; i++) expect(await replies[i]).toBe(200);
    expect(replies).toHaveLength(5000);
  });
});
