import { createReceiver } from "@crowdhook/core";
import { SENDERS, type Sender, signDelivery } from "@crowdhook/core/testing";
import { describe, expect, test, vi } from "vitest";
import { DEFINED, secretsOf } from "./defined-providers.js";

const NOW = 1_700_000_000_000;
const SIGNED_AT = NOW - 60_000;

const cases = [...(SENDERS as readonly Sender[]), ...DEFINED].map((sender) => ({
  sender,
  name: sender.provider.name,
}));

describe.each(cases)("an unsigned receiver of $name", ({ sender }) => {
  const { provider } = sender;
  const { envelope } = provider.definition ?? {};
  const idHeader =
    typeof envelope?.id === "object" && "header" in envelope.id ? envelope.id.header : undefined;
  const timeHeader = envelope?.time && "header" in envelope.time ? envelope.time.header : undefined;
  const ownHeaders = [idHeader, timeHeader].flat().filter((name) => name !== undefined);

  async function handle(isKept: (name: string) => boolean) {
    const receiver = createReceiver(provider, { unsigned: true, clock: () => NOW });
    const events: { id: string; occurredAt: Date | undefined }[] = [];
    receiver.onAny(({ id, occurredAt }) => void events.push({ id, occurredAt }));
    const errors: unknown[] = [];
    receiver.onError((error) => void errors.push(error));
    const delivery = signDelivery(sender, {
      secret: secretsOf(sender)[0],
      events: [sender.sample(sender.defaultType)],
      timestamp: SIGNED_AT,
    });
    const headers = Object.fromEntries(Object.entries(delivery.headers).filter(([name]) => isKept(name)));
    const { status } = await receiver.handle({ ...delivery, headers });
    return { status, events, errors };
  }

  test("handles an event whose delivery has all headers", async () => {
    const { status, events } = await handle(() => true);
    expect(status).toBe(200);
    expect(events).toEqual([{ id: expect.any(String), occurredAt: expect.any(Date) }]);
    if (envelope?.time && "from" in envelope.time) expect(events[0]?.occurredAt).toEqual(new Date(SIGNED_AT));
  });

  test("handles an event whose delivery has no signature", async () => {
    const own = new Set(ownHeaders.map((name) => name.toLowerCase()));
    const { status, events } = await handle((name) => !/signature|time/.test(name) || own.has(name));
    expect(status).toBe(200);
    expect(events).toEqual([{ id: expect.any(String), occurredAt: expect.any(Date) }]);
    if (envelope?.time === undefined || "from" in envelope.time)
      expect(events[0]?.occurredAt).toEqual(new Date(NOW));
  });

  test("names the missing header of the id or the time when the delivery has no headers", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { status, events, errors } = await handle(() => false);
    if (ownHeaders.length === 0) {
      expect(status).toBe(200);
      expect(events).toHaveLength(1);
    } else {
      expect(status).toBe(500);
      const message = String(errors);
      for (const header of [idHeader, timeHeader].filter((name) => name !== undefined))
        expect(message).toContain(typeof header === "string" ? header : header[0]);
    }
  });
});
