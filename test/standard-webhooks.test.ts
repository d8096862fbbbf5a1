import { createReceiver } from "@crowdhook/core";
import { ARGILLA_EVENTS, standardWebhooks } from "@crowdhook/core/standard-webhooks";
import { signDelivery } from "@crowdhook/core/testing";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { describe, expect, test, vi } from "vitest";
import { senderNamed } from "./defined-providers.js";

const SECRET = `whsec_${Buffer.from("a key of twenty-four byte").toString("base64")}`;
const provider = standardWebhooks(ARGILLA_EVENTS);
const body = JSON.stringify({
  type: "record.completed",
  version: 1,
  data: { id: "record-1", fields: { text: "é🔑" } },
});

/** Signs as a library does, under its own header names. */
const LIBRARIES = {
  standardwebhooks: (id: string, time: Date, content = body) => ({
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(Number(time) / 1000)),
    "webhook-signature": new StandardWebhook(SECRET).sign(id, time, content),
  }),
  svix: (id: string, time: Date, content = body) => ({
    "svix-id": id,
    "svix-timestamp": String(Math.floor(Number(time) / 1000)),
    "svix-signature": new SvixWebhook(SECRET).sign(id, time, content),
  }),
};
const VERIFIERS = { standardwebhooks: new StandardWebhook(SECRET), svix: new SvixWebhook(SECRET) };

function receive(headers: Record<string, string>, content: string | Uint8Array = body) {
  const receiver = createReceiver(provider, { secret: SECRET });
  return receiver.handle({ method: "POST", headers, body: content });
}

describe.each(["standardwebhooks", "svix"] as const)("%s", (library) => {
  test("a delivery that the library signed is handled", async () => {
    expect(await receive(LIBRARIES[library]("msg_1", new Date()))).toMatchObject({ status: 200 });
  });

  test("a delivery that the library signed is refused when one part of it was changed", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const headers = LIBRARIES[library]("msg_1", new Date());
    for (const [name, value] of Object.entries(headers)) {
      // Every character, because each of them is signed or is part of the signature.
      for (let at = 0; at < value.length; at++) {
        const changed = value.slice(0, at) + (value[at] === "1" ? "2" : "1") + value.slice(at + 1);
        const reply = await receive({ ...headers, [name]: changed });
        expect([reply.status, name, changed]).toEqual([401, name, changed]);
      }
      expect(await receive({ ...headers, [name]: "" })).toMatchObject({ status: 401 });
    }
    const bytes = Buffer.from(body);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ 1 : byte));
      expect(await receive(headers, changed)).toMatchObject({ status: 401 });
    }
    expect(await receive(LIBRARIES[library]("msg_1", new Date(Date.now() - 301_000)))).toMatchObject({
      status: 401,
    });
    expect(await receive(LIBRARIES[library]("msg_1", new Date(Date.now() + 302_000)))).toMatchObject({
      status: 401,
    });
  });

  test("the library verifies each sample that the sender signed", () => {
    const sender = senderNamed(provider.name);
    for (const type of provider.eventTypes) {
      const delivery = signDelivery(sender, { secret: SECRET, events: [sender.sample(type)] });
      expect(VERIFIERS[library].verify(delivery.body, { ...delivery.headers })).toEqual(
        JSON.parse(delivery.body),
      );
    }
  });
});
