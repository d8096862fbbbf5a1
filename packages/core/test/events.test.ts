import { beforeEach, describe, expect, test, vi } from "vitest";
import { signToloka, tolokaEvent } from "../src/testing.js";
import { NOW, receiverWith, SECRET, signed } from "./deliveries.js";

beforeEach(() => {
  vi.restoreAllMocks();
});

describe("events", () => {
  test("the receiver refuses a signed body and logs the loss when it is not JSON or not an envelope", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const [body, code] of [
      ["hunter2", "BODY_NOT_JSON"],
      ["[]", "ENVELOPE_INVALID"],
    ] as const) {
      const reply = await receiverWith().handle(signToloka({ secret: SECRET, timestamp: NOW, body }));
      expect([reply.status, JSON.parse(reply.body).code]).toEqual([400, code]);
      expect(log.mock.lastCall?.join()).toMatch(new RegExp(`${code}.*lost`));
    }
    expect(log.mock.calls.join()).not.toContain("hunter2");
  });

  test("an event fails with the reason when its data does not fit its type and onUnrecognized has no listener", async () => {
    const receiver = receiverWith();
    const errors: unknown[] = [];
    const listener = vi.fn();
    receiver.onAny(listener);
    receiver.onError((error) => errors.push(error));
    const event = tolokaEvent("POOL_CLOSED", { uuid: "x", close_reason: ["hunter2"] });
    const reply = await receiver.handle(signed(event));
    expect(JSON.parse(reply.body)).toMatchObject({ code: "EVENT_FAILED", failed: 1 });
    expect(listener).not.toHaveBeenCalled();
    expect(errors).toMatchObject([
      { message: expect.stringMatching(/event x does not fit "POOL_CLOSED": close_reason: expected string/) },
    ]);
  });
});
