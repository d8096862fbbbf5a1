import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** As in Jest's jsdom environment: `crypto` is there, but `subtle` is not. */
beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal("TextEncoder", undefined);
  vi.stubGlobal("TextDecoder", undefined);
  vi.stubGlobal("crypto", {});
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function load() {
  const [core, { toloka }, testing, hmac] = await Promise.all([
    import("../src/index.js"),
    import("../src/providers/toloka/index.js"),
    import("../src/testing.js"),
    import("../src/signature/hmac.web.js"),
  ]);
  const delivery = testing.signToloka({ secret: "s3cret", events: [testing.tolokaEvent("POOL_CLOSED")] });
  return { receiver: core.createReceiver(toloka, { secret: "s3cret" }), delivery, hmac };
}

test("a delivery is handled without global TextEncoder and TextDecoder", async () => {
  const { receiver, delivery } = await load();
  expect((await receiver.handle(delivery)).status).toBe(200);
  vi.spyOn(console, "error").mockImplementation(() => {});
  const altered = { ...delivery, body: `${delivery.body} ` };
  expect((await receiver.handle(altered)).status).toBe(401);
});

test("WebCrypto verifies without global crypto.subtle", async () => {
  const { hmac } = await load();
  const key = await hmac.prepareKey("Jefe");
  const digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  const body = Buffer.from("do ya want for nothing?");
  expect(await hmac.verify([key], { prefix: "what ", digest }, body)).toBe(true);
  expect(await hmac.verify([key], { prefix: "why ", digest }, body)).toBe(false);
});

test("import succeeds and use names the fix when Node cannot provide what is missing", async () => {
  vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
  const { hmac } = await load();
  await expect(hmac.prepareKey("Jefe")).rejects.toThrow("In Jest, set `testEnvironment` to node.");
});
