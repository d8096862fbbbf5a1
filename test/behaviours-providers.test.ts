import type { Provider } from "@crowdhook/core";
import { SENDERS, type Sender, signDelivery } from "@crowdhook/core/testing";
import { describe, expect, test, vi } from "vitest";
import { type Answer, type Outgoing, request } from "./request.js";
import { SERVE } from "./serve-provider.js";

const SECRETS: Readonly<Record<string, string>> = {
  "standard-webhooks": "whsec_YSBrZXkgb2YgMjQgYnl0ZXMgb3Igc28h",
};
const contentOf = ({ status, text }: Answer) => ({ status, ...JSON.parse(text) });

const cases = SENDERS.flatMap((sender) =>
  SERVE.map(([adapter, serve]) => ({ adapter, serve, sender, title: sender.provider.title })),
);

describe.each(cases)("$title on @crowdhook/$adapter", ({ serve, sender }) => {
  const { provider } = sender;
  const secret = SECRETS[provider.name] ?? "s3cret";
  const { timestamp } = provider.signatureFormat;
  const signatureHeaders = provider.signatureFormat.headers.map((name) => name.toLowerCase());

  const signed = (
    options: Partial<Parameters<typeof signDelivery>[1]> = {},
  ): Outgoing & { body: string } => ({
    path: provider.defaultPath,
    ...signDelivery(sender as Sender, {
      secret,
      events: [sender.sample(sender.defaultType)],
      ...options,
    }),
  });

  async function start(options: object = {}) {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { webhook, origin } = await serve(provider as Provider, options, secret);
    const types: string[] = [];
    webhook.onAny(({ type }) => void types.push(type));
    return { webhook, types, send: (outgoing: Outgoing) => request(origin, outgoing) };
  }

  test("a signed delivery is handled once, however often it arrives", async () => {
    const { send, types } = await start();
    const delivery = signed();
    expect(contentOf(await send(delivery))).toMatchObject({ status: 200, handled: 1 });
    expect(contentOf(await send({ ...delivery, chunked: true }))).toMatchObject({
      status: 200,
      duplicate: 1,
    });
    expect(types).toEqual([sender.defaultType]);
  });

  test("each of its types reaches its listener", async () => {
    const { send, types } = await start();
    for (const type of provider.eventTypes) {
      expect(await send(signed({ events: [sender.sample(type)] }))).toMatchObject({ status: 200 });
    }
    expect(types).toEqual([...provider.eventTypes]);
  });

  test("a delivery is refused when its signature is missing, its body was changed or its time is old", async () => {
    const { send, types } = await start();
    const delivery = signed();
    for (const name of signatureHeaders) {
      const headers = { ...delivery.headers };
      delete headers[name];
      expect([name, (await send({ ...delivery, headers })).status]).toEqual([name, 401]);
    }
    expect(await send({ ...delivery, body: `${delivery.body} ` })).toMatchObject({ status: 401 });
    expect(await send(signed({ secret: secret.replace(/.$/, "x") }))).toMatchObject({ status: 401 });
    if (timestamp)
      expect(await send(signed({ timestamp: Date.now() - 3_600_000 }))).toMatchObject({ status: 401 });
    expect(types).toEqual([]);
  });

  test("other methods, large bodies and signed bodies that are not JSON are refused", async () => {
    const { send } = await start({ maxBodySize: 2_000 });
    expect(await send({ path: provider.defaultPath, method: "PUT" })).toMatchObject({ status: 405 });
    const large = signed({ events: [sender.sample(sender.defaultType, { pad: "x".repeat(2_000) })] });
    expect(contentOf(await send({ ...large, chunked: true }))).toMatchObject({ code: "BODY_TOO_LARGE" });
    const composed = vi.spyOn(sender as Sender, "composeBody").mockReturnValue("{");
    expect(contentOf(await send(signed()))).toMatchObject({ status: 400, code: "BODY_NOT_JSON" });
    composed.mockRestore();
  });

  test("an unknown type succeeds, and a known type with other data fails", async () => {
    const { send } = await start();
    const sample = sender.sample(sender.defaultType);
    const other = { ...sample, content: { ...sample.content, [sender.typeField]: "NEW_TYPE" } };
    expect(contentOf(await send(signed({ events: [other] })))).toMatchObject({
      status: 200,
      unrecognized: 1,
    });
    const empty = {
      ...sender.sample(sender.defaultType),
      content: { [sender.typeField]: sender.defaultType },
    };
    expect(contentOf(await send(signed({ events: [empty] })))).toMatchObject({
      status: 500,
      code: "EVENT_FAILED",
    });
  });

  test("an event that fails runs again, and one that arrives twice at once runs once", async () => {
    const { send, webhook } = await start();
    let calls = 0;
    webhook.on(sender.defaultType as never, () => {
      if (++calls === 1) throw new Error("first");
    });
    const delivery = signed();
    expect(await send(delivery)).toMatchObject({ status: 500 });
    const answers = await Promise.all([send(delivery), send(delivery)]);
    expect(answers.map(({ status }) => status).filter((status) => status === 200)).not.toEqual([]);
    for (const { status } of answers) expect([200, 503]).toContain(status);
    expect(calls).toBe(2);
  });
});
