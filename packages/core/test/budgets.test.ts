import { createHook } from "node:async_hooks";
import { describe, expect, test } from "vitest";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";

/** Returns how many promises one delivery creates in the receiver, listeners included. */
async function promisesPerDelivery(events: number, listener: () => unknown): Promise<number> {
  const receiver = createReceiver(toloka, { secret: SECRET });
  receiver.on("POOL_CLOSED", listener);
  const deliver = async () => {
    const delivery = signToloka({
      secret: SECRET,
      events: Array.from({ length: events }, () => tolokaEvent("POOL_CLOSED")),
    });
    let promises = 0;
    const hook = createHook({
      init(_id, type) {
        if (type === "PROMISE") promises++;
      },
    });
    hook.enable();
    // Not awaited here: this `await` would be counted, too.
    const handled = receiver.handle(delivery);
    let status = 0;
    await new Promise<void>((resolve) => {
      handled.then((reply) => {
        status = reply.status;
        hook.disable();
        resolve();
      });
    });
    expect(status).toBe(200);
    // The promise of `new Promise`, that of `then`, and that of the outer `await`.
    return promises;
  };
  await deliver();
  return deliver();
}

// A promise costs about as much as validating an event, and the number does not depend on the machine.
// The counts include three promises of the test itself.
const OF_THE_TEST = 3;

describe("the receiver", () => {
  test.each([
    ["one event with a synchronous listener", 6, 1, () => {}],
    ["one event with an asynchronous listener", 9, 1, async () => {}],
    ["ten events with asynchronous listeners", 36, 10, async () => {}],
  ] as const)(
    "creates at most the promises of its budget for %s: %d",
    async (_, budget, events, listener) => {
      expect((await promisesPerDelivery(events, listener)) - OF_THE_TEST).toBeLessThanOrEqual(budget);
    },
  );
});
