import { createReceiver } from "@crowdhook/core";
import { toloka } from "@crowdhook/core/toloka";
import * as expressAdapter from "@crowdhook/express";
import * as fetchAdapter from "@crowdhook/fetch";
import * as koaAdapter from "@crowdhook/koa";
import * as nodeAdapter from "@crowdhook/node";
import { afterEach, describe, expect, test } from "vitest";
import { genuine, logged, SECRET } from "./mounted.js";
import { type Answer, type Outgoing, request } from "./request.js";
import { APPS, type Mounting } from "./serve-provider.js";
import { signToy, type ToyEvents, toy } from "./toy-provider.js";

const contentOf = ({ status, text }: Answer) => ({ status, ...JSON.parse(text) });
const sold = (secret = SECRET): Outgoing => signToy(secret, { type: "toy.sold", id: "toy-1", price: 5 });

describe.each(APPS)("webhook of @crowdhook/$name with a provider of the app's own", ({ create }) => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(closing.splice(0).map((close) => close()));
  });

  async function serve(options: Mounting<ToyEvents> = {}) {
    const app = create();
    const webhook = await app.mount(toy, { secret: SECRET, ...options });
    const { origin, close } = await app.listen();
    closing.push(close);
    return { webhook, origin };
  }

  test("answers a signed delivery at the provider's default path and runs the listener once", async () => {
    const { webhook, origin } = await serve();
    const prices: number[] = [];
    webhook.on("toy.sold", ({ data }) => prices.push(data.price));
    expect(contentOf(await request(origin, sold()))).toMatchObject({ status: 200, handled: 1 });
    expect(contentOf(await request(origin, sold()))).toMatchObject({ status: 200, duplicate: 1 });
    expect(prices).toEqual([5]);
  });

  test("answers 401 to a delivery that is signed with another secret", async () => {
    const { origin } = await serve();
    await logged(async () => {
      const answer = contentOf(await request(origin, sold("another")));
      expect(answer).toMatchObject({ status: 401, code: "SIGNATURE_MISMATCH" });
    });
  });

  test("takes a path and listeners", async () => {
    const reasons: string[] = [];
    const { origin } = await serve({
      path: "/hooks/toy",
      on: { "toy.returned": ({ data }) => reasons.push(data.reason) },
    });
    const returned = signToy(SECRET, { type: "toy.returned", id: "toy-2", reason: "broken" });
    expect((await request(origin, { ...returned, path: "/hooks/toy" })).status).toBe(200);
    expect((await request(origin, returned)).status).toBe(404);
    expect(reasons).toEqual(["broken"]);
  });

  test("refuses a listener for a type that the provider does not have", async () => {
    const { webhook } = await serve();
    expect(() => webhook.on("toy.lost" as "toy.sold", () => {})).toThrow(/no event type "toy\.lost"/);
  });
});

describe.each([
  ["express", expressAdapter.tolokaWebhook],
  ["koa", koaAdapter.tolokaWebhook],
  ["node", nodeAdapter.tolokaWebhook],
  ["fetch", fetchAdapter.tolokaWebhook],
])("tolokaWebhook of @crowdhook/%s", (adapter, tolokaWebhook) => {
  test("a ready receiver is mounted unchanged", () => {
    const receiver = createReceiver(toloka, { secret: SECRET });
    expect(tolokaWebhook(receiver, { path: "/hooks" }).receiver).toBe(receiver);
  });

  test.each<[string, Parameters<typeof tolokaWebhook>[0]]>([
    ["secret", undefined],
    ["secret in a list", ["a", undefined as unknown as string]],
  ])("constructor refuses an undefined %s, but in fetch the first delivery gets 503", async (_, secret) => {
    const missing = /is undefined\. Set the environment variable TOLOKA_SECRET or.*unsigned: true/;
    if (adapter !== "fetch") {
      expect(() => tolokaWebhook(secret)).toThrow(TypeError);
      expect(() => tolokaWebhook(secret)).toThrow(missing);
      return;
    }
    const POST = fetchAdapter.tolokaWebhook(secret);
    const log = await logged(async () => {
      const response = await POST(new Request("http://localhost/", genuine()));
      expect([response.status, await response.json()]).toMatchObject([503, { code: "SECRET_UNAVAILABLE" }]);
    });
    expect(log).toMatch(missing);
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      "a webhook in place of its receiver",
      () => tolokaWebhook(expressAdapter.tolokaWebhook(SECRET) as unknown as string),
      /webhook already.*webhook\.receiver/,
    ],
    ["an empty secret", () => tolokaWebhook(""), /empty.*unsigned: true/],
    ["an empty list", () => tolokaWebhook([]), /list of secrets is empty/],
    ["a list with an empty secret", () => tolokaWebhook(["a", ""]), /empty/],
    ["a secret with a line break", () => tolokaWebhook("12345\n"), /white space/],
    [
      "a secret that is a number",
      () => tolokaWebhook(12345 as unknown as string),
      /must be a string, not number/,
    ],
    ["a secret and unsigned", () => tolokaWebhook("12345", { unsigned: true }), /one of the two/],
    ["a path without a slash", () => tolokaWebhook("a", { path: "hooks" }), /begin with "\/".*"hooks"/],
    ["a path with a query", () => tolokaWebhook("a", { path: "/hooks?a" }), /no query/],
    ["a tolerance that is no number", () => tolokaWebhook("a", { tolerance: Number.NaN }), /tolerance.*NaN/],
    [
      "a tolerance that is text",
      () => tolokaWebhook("a", { tolerance: "5" as unknown as number }),
      /tolerance.*"5"/,
    ],
    ["a negative tolerance", () => tolokaWebhook("a", { tolerance: -1 }), /tolerance.*-1/],
    [
      "an endless tolerance",
      () => tolokaWebhook("a", { tolerance: Number.POSITIVE_INFINITY }),
      /tolerance.*finite/,
    ],
    ["a limit of 0", () => tolokaWebhook("a", { maxBodySize: 0 }), /maxBodySize.*0/],
    [
      "a clock that is no function",
      () => tolokaWebhook("a", { clock: 5 as unknown as () => number }),
      /clock/,
    ],
    [
      "a listener for no type",
      () => tolokaWebhook("a", { on: { POOL_CLOSE: () => {} } as object }),
      /no event type "POOL_CLOSE"/,
    ],
    [
      "a listener that is none",
      () => tolokaWebhook("a", { on: { POOL_CLOSED: 5 } as object }),
      /must be a function/,
    ],
    [
      "receiver options with a ready receiver",
      () => tolokaWebhook(createReceiver(toloka, { secret: "a" }), { tolerance: 5 }),
      /tolerance must be given to createReceiver/,
    ],
  ])("constructor throws a TypeError that names the mistake for %s", (_, construct, message) => {
    expect(construct).toThrow(TypeError);
    expect(construct).toThrow(message);
    expect(construct).not.toThrow(/12345/);
  });
});
