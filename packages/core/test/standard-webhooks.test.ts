import { createHmac } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { createReceiver, rawData } from "../src/index.js";
import { ARGILLA_EVENTS, standardWebhooks } from "../src/providers/standard-webhooks/index.js";
import { standardWebhooksSender as sender } from "../src/providers/standard-webhooks/sender.js";
import { signDelivery } from "../src/testing.js";

const NOW = 1_700_000_000_000;
const SECRET = `whsec_${Buffer.from("a key of 24 bytes or so!").toString("base64")}`;
const argilla = standardWebhooks(ARGILLA_EVENTS);

function receiving(provider = argilla, options: object = {}) {
  const receiver = createReceiver(provider, { secret: SECRET, clock: () => NOW, ...options });
  const events: unknown[] = [];
  receiver.onAny((event) => void events.push(event));
  return { receiver, events };
}

const signed = () =>
  signDelivery(sender, { secret: SECRET, events: [sender.sample("record.completed")], timestamp: NOW });

describe("standardWebhooks", () => {
  test("handles each event of Argilla's once, with the field `data` as its data", async () => {
    for (const type of argilla.eventTypes) {
      const { receiver, events } = receiving();
      const delivery = signDelivery(sender, {
        secret: SECRET,
        events: [sender.sample(type)],
        timestamp: NOW,
      });
      expect(await receiver.handle(delivery)).toMatchObject({ status: 200 });
      expect(JSON.parse((await receiver.handle(delivery)).body)).toMatchObject({ duplicate: 1 });
      expect(events).toMatchObject([
        {
          type,
          id: delivery.headers["webhook-id"],
          occurredAt: new Date(NOW),
          data: { id: expect.any(String) },
        },
      ]);
    }
  });

  test("accepts the same headers under svix names", async () => {
    const { headers, ...rest } = signed();
    const renamed = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.replace("webhook-", "svix-"), value]),
    );
    const { receiver, events } = receiving();
    expect(await receiver.handle({ ...rest, headers: renamed })).toMatchObject({ status: 200 });
    expect(events).toMatchObject([{ id: renamed["svix-id"] }]);
  });

  test("accepts a signature by either secret during a rotation, beside signatures of other versions", async () => {
    const { receiver } = receiving(argilla, { secret: ["whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcw==", SECRET] });
    const { headers, ...rest } = signed();
    const list = `v1a,AAAA v1,${Buffer.alloc(32).toString("base64")} ${headers["webhook-signature"]}`;
    expect(
      await receiver.handle({ ...rest, headers: { ...headers, "webhook-signature": list } }),
    ).toMatchObject({
      status: 200,
    });
  });

  test("refuses a delivery whose id, time, body or signature was changed", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { receiver, events } = receiving();
    const delivery = signed();
    const changes: Record<string, string>[] = [
      { "webhook-id": "msg_other" },
      { "webhook-timestamp": String(NOW / 1000 + 1) },
      { "webhook-timestamp": `0${NOW / 1000}` },
      { "webhook-signature": delivery.headers["webhook-signature"]?.replace("v1,", "v2,") ?? "" },
      { "webhook-signature": delivery.headers["webhook-signature"]?.replace("v1,", "") ?? "" },
      { "webhook-signature": "v1," },
      { "webhook-id": "" },
      { "webhook-id": "x".repeat(256) },
    ];
    for (const change of changes) {
      expect(
        await receiver.handle({ ...delivery, headers: { ...delivery.headers, ...change } }),
      ).toMatchObject({
        status: 401,
      });
    }
    expect(await receiver.handle({ ...delivery, body: `${delivery.body} ` })).toMatchObject({ status: 401 });
    expect(events).toEqual([]);
  });

  test("names the mistake when the sender signed with the text of the secret", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { receiver } = receiving();
    const delivery = signed();
    const { "webhook-id": id, "webhook-timestamp": time } = delivery.headers;
    const digest = createHmac("sha256", SECRET).update(`${id}.${time}.${delivery.body}`).digest("base64");
    await receiver.handle({
      ...delivery,
      headers: { ...delivery.headers, "webhook-signature": `v1,${digest}` },
    });
    expect(log.mock.calls.flat().join()).toContain(
      "signed with the text of the secret instead of the key in it",
    );
  });

  test.each(["whsec_", "whsec_%%%", "not base64!"])("refuses the secret %j at construction", (secret) => {
    expect(() => createReceiver(argilla, { secret })).toThrow(
      "A secret of this provider is whsec_ and a key in base64. Copy the whole secret from the provider's settings.",
    );
  });

  test("takes the type from another field and the whole body as the data, as Replicate's events need", async () => {
    const replicate = standardWebhooks(
      { succeeded: z.object({ id: z.string(), output: z.array(z.string()) }) },
      { name: "replicate", envelope: { type: "status", data: undefined, subject: "id" } },
    );
    expect(replicate).toMatchObject({
      name: "replicate",
      defaultPath: "/replicate-webhook",
      title: "Standard Webhooks",
    });
    const { receiver, events } = receiving(replicate as never);
    const content = { id: "p-1", status: "succeeded", output: ["a"], metrics: { predict_time: 1 } };
    const delivery = signDelivery(sender, {
      secret: SECRET,
      events: [{ id: "msg_1", content }],
      timestamp: NOW,
    });
    expect(await receiver.handle(delivery)).toMatchObject({ status: 200 });
    expect(events).toMatchObject([{ type: "succeeded", id: "msg_1", data: content }]);
    expect(rawData(events[0] as { data: unknown })).toEqual(content);
  });

  test("leaves every type to onUnrecognized without schemas", async () => {
    const { receiver, events } = receiving(standardWebhooks({}) as never);
    receiver.onUnrecognized((event) => void events.push(event.type));
    expect(JSON.parse((await receiver.handle(signed())).body)).toMatchObject({ unrecognized: 1 });
    expect(events).toContain("record.completed");
  });
});
