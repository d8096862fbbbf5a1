import { SENDERS, type Sender } from "@crowdhook/core/testing";
import { describe, expect, test, vi } from "vitest";
import { providerOn } from "./provider-on.js";
import { SERVE } from "./serve-provider.js";
import { contentOf } from "./started.js";

const cases = SENDERS.flatMap((sender) =>
  SERVE.map(([adapter, serve]) => ({
    adapter,
    serve,
    sender: sender as Sender,
    title: sender.provider.title,
  })),
);

describe.each(cases)("$title on @crowdhook/$adapter", ({ serve, sender }) => {
  const { provider } = sender;
  const { otherSecret, signed, start } = providerOn(sender, serve);
  const { timestamp } = provider.signatureFormat;
  const signatureHeaders = provider.signatureFormat.headers.map((name) => name.toLowerCase());

  test("a signed delivery is handled once, however often it arrives", async () => {
    const { send, types } = await start();
    const delivery = signed();
    expect(contentOf(await send(delivery))).toMatchObject({ handled: 1 });
    expect(contentOf(await send({ ...delivery, chunked: true }))).toMatchObject({ duplicate: 1 });
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
    expect(await send(signed({ secret: otherSecret }))).toMatchObject({ status: 401 });
    if (timestamp)
      expect(await send(signed({ timestamp: Date.now() - 3_600_000 }))).toMatchObject({ status: 401 });
    expect(types).toEqual([]);
  });

  test("other methods, large bodies and signed bodies that are not JSON are refused", async () => {
    const { send } = await start({ maxBodySize: 2_000 });
    expect(await send({ path: provider.defaultPath, method: "PUT" })).toMatchObject({ status: 405 });
    const large = signed({ events: [sender.sample(sender.defaultType, { pad: "x".repeat(2_000) })] });
    expect(contentOf(await send({ ...large, chunked: true }))).toMatchObject({ code: "BODY_TOO_LARGE" });
    const composed = vi.spyOn(sender, "composeBody").mockReturnValue("{");
    expect(contentOf(await send(signed()))).toMatchObject({ code: "BODY_NOT_JSON" });
    composed.mockRestore();
  });

  test("an unknown type succeeds, and a known type with other data fails", async () => {
    const { send } = await start();
    const sample = sender.sample(sender.defaultType);
    const other = { ...sample, content: { ...sample.content, [sender.typeField]: "NEW_TYPE" } };
    expect(contentOf(await send(signed({ events: [other] })))).toMatchObject({ unrecognized: 1 });
    const empty = {
      ...sender.sample(sender.defaultType),
      content: { [sender.typeField]: sender.defaultType },
    };
    expect(contentOf(await send(signed({ events: [empty] })))).toMatchObject({ code: "EVENT_FAILED" });
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
