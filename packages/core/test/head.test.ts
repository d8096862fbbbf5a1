import { describe, expect, test } from "vitest";
import { receiverWith, signed } from "./deliveries.js";

describe("head", () => {
  test("the receiver takes headers as a record, as Headers or as a Map, and refuses two signature headers", async () => {
    const receiver = receiverWith();
    const { headers, body } = signed();
    const header = headers["toloka-signature"] as string;
    for (const form of [
      { "Toloka-Signature": header },
      { "toloka-signature": [header] },
      new Headers({ "TOLOKA-SIGNATURE": header }),
      new Map([["toloka-signature", header]]),
    ]) {
      expect((await receiver.handle({ method: "POST", headers: form, body })).status).toBe(200);
    }
    const twice = { "Toloka-Signature": header, "toloka-signature": header };
    expect((await receiver.handle({ method: "POST", headers: twice, body })).status).toBe(401);
  });

  test("the receiver accepts the content encoding identity in any spelling, and refuses others with 415", async () => {
    const { method, headers, body } = signed();
    for (const [encoding, status] of [
      ["identity", 200],
      [" Identity ", 200],
      ["", 200],
      ["gzip", 415],
    ] as const) {
      const reply = await receiverWith().handle({
        method,
        headers: { ...headers, "content-encoding": encoding },
        body,
      });
      expect([encoding, reply.status]).toEqual([encoding, status]);
    }
  });
});
