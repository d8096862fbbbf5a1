// Run by Jest in its jsdom environment, which lacks TextEncoder, TextDecoder and crypto.subtle.
const { createReceiver } = require("@crowdhook/core");
const { signToloka, tolokaEvent } = require("@crowdhook/core/testing");
const { toloka } = require("@crowdhook/core/toloka");
const adapters = ["node", "express", "fastify", "koa", "fetch"].map((name) => require(`@crowdhook/${name}`));

test("the environment lacks what the packages must not need", () => {
  expect([typeof TextEncoder, typeof TextDecoder, typeof crypto.subtle]).toEqual(Array(3).fill("undefined"));
});

test("every adapter can be imported", () => {
  for (const { tolokaWebhook } of adapters) expect(typeof tolokaWebhook).toBe("function");
});

test("a receiver handles a genuine delivery and refuses a forged one", async () => {
  const receiver = createReceiver(toloka, { secret: "12345" });
  const types = [];
  receiver.on("POOL_CLOSED", (event) => {
    types.push(event.type);
  });
  const events = [tolokaEvent("POOL_CLOSED")];
  expect((await receiver.handle(signToloka({ secret: "12345", events }))).status).toBe(200);
  expect((await receiver.handle(signToloka({ secret: "guessed", events }))).status).toBe(401);
  expect(types).toEqual(["POOL_CLOSED"]);
});
