import { readFileSync } from "node:fs";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test, vi } from "vitest";
import { contentOf, NOW, prepare, SECRET, signed } from "./started.js";
import { placesIn, TARGETS } from "./targets.js";

interface Vector {
  name: string;
  secret: string;
  ts: number;
  v: number;
  body: string;
  header: string;
}

const vectors: Vector[] = JSON.parse(
  readFileSync(new URL("vectors/toloka.json", import.meta.url), "utf8"),
).valid;

describe.each(TARGETS)("$name: signatures", (target) => {
  const { clock, start } = prepare(target);

  test.each(vectors)("genuine delivery $name gets 200", async (vector) => {
    clock.set(vector.ts);
    const { send, types } = await start({ secret: ["another", vector.secret] });
    const answer = await send({ headers: { "toloka-signature": vector.header }, body: vector.body });
    expect(answer.status).toBe(200);
    const { events } = JSON.parse(vector.body);
    expect(types).toEqual((events ?? [JSON.parse(vector.body)]).map((event: { type: string }) => event.type));
  });

  test.each(vectors)(
    "delivery $name gets 401 and reaches no listener when anything in it is changed",
    async (vector) => {
      clock.set(vector.ts);
      const { send, types } = await start({ secret: vector.secret });
      const genuine = Buffer.from(vector.body);
      for (const place of placesIn(genuine, target)) {
        const body = Buffer.from(genuine);
        body[place] = (body[place] ?? 0) ^ 1;
        const answer = await send({ headers: { "toloka-signature": vector.header }, body });
        expect([place, answer.status]).toEqual([place, 401]);
      }
      const sign = vector.header.slice(vector.header.indexOf("sign=") + 5, -1);
      const otherDigit = (digit: string) => (digit === "0" ? "1" : "0");
      const headers = [
        ...placesIn(sign, target).map((i) =>
          vector.header.replace(sign, sign.slice(0, i) + otherDigit(sign.charAt(i)) + sign.slice(i + 1)),
        ),
        vector.header.replace(`ts=${vector.ts}`, `ts=${vector.ts + 1}`),
        vector.header.replace(`ts=${vector.ts}`, `ts=0${vector.ts}`),
        vector.header.replace(`v=${vector.v}`, `v=${vector.v + 1}`),
        vector.header.replace(`v=${vector.v}`, `v=0${vector.v}`),
      ];
      for (const header of headers) {
        const answer = await send({ headers: { "toloka-signature": header }, body: vector.body });
        expect([header, answer.status]).toEqual([header, 401]);
      }
      expect(types).toEqual([]);
    },
  );

  test("unsigned delivery gets 401 and reaches no listener", async () => {
    const { send, types } = await start();
    const answer = await send({ body: signed([tolokaEvent("POOL_CLOSED")]).body });
    expect(answer.status).toBe(401);
    expect(contentOf(answer)).toEqual({ code: "SIGNATURE_MISSING", message: expect.any(String) });
    expect(types).toEqual([]);
  });

  test("empty signature header counts as missing", async () => {
    const { send } = await start();
    const answer = await send({ headers: { "toloka-signature": "" }, body: "{}" });
    expect(contentOf(answer)).toMatchObject({ code: "SIGNATURE_MISSING" });
  });

  test("signature header sent twice is malformed, even when both are genuine", async () => {
    const { send, types } = await start();
    const { headers, body } = signed([tolokaEvent("POOL_CLOSED")]);
    const header = headers["toloka-signature"] ?? "";
    const answer = await send({ headers: { "toloka-signature": [header, header] }, body });
    expect([answer.status, contentOf(answer).code]).toEqual([401, "SIGNATURE_MALFORMED"]);
    expect(types).toEqual([]);
  });

  test("reply to a forged delivery says only that the signature does not match", async () => {
    const { send } = await start();
    const { headers, body } = signToloka({ secret: "guessed", timestamp: NOW, events: [] });
    const answer = await send({ headers, body });
    expect(answer.status).toBe(401);
    expect(contentOf(answer)).toEqual({ code: "SIGNATURE_MISMATCH", message: expect.any(String) });
  });

  test.each([
    ["at the edge of the past", -300_000, 200],
    ["a millisecond too old", -300_001, 401],
    ["at the edge of the future", 300_000, 200],
    ["a millisecond too far in the future", 300_001, 401],
  ])("genuine delivery %s: %i ms, %i", async (_, offset, status) => {
    const { send } = await start();
    const answer = await send(signed([tolokaEvent("TEST_EVENT")], NOW + offset));
    expect(answer.status).toBe(status);
    if (status === 401) expect(contentOf(answer).code).toBe("TIMESTAMP_OUT_OF_TOLERANCE");
  });

  test("tolerance of 0 accepts only the current millisecond", async () => {
    const { send } = await start({ tolerance: 0 });
    expect((await send(signed([]))).status).toBe(200);
    expect((await send(signed([], NOW - 1))).status).toBe(401);
    expect((await send(signed([], NOW + 1))).status).toBe(401);
  });

  test("every secret of a list is valid", async () => {
    const { send } = await start({ secret: ["old", SECRET, "new"] });
    for (const secret of ["old", SECRET, "new"]) {
      expect((await send(signToloka({ secret, timestamp: NOW }))).status).toBe(200);
    }
    expect((await send(signToloka({ secret: "other", timestamp: NOW }))).status).toBe(401);
  });

  test("secret function gets the delivery and may return a promise", async () => {
    const secret = vi.fn(async (delivery) => [`secret-of-${delivery.headers.get("X-Tenant")}`]);
    const { send } = await start({ secret });
    const { headers, body } = signToloka({ secret: "secret-of-a", timestamp: NOW });
    expect((await send({ headers: { ...headers, "x-tenant": "a" }, body })).status).toBe(200);
    expect((await send({ headers: { ...headers, "x-tenant": "b" }, body })).status).toBe(401);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("vault password hunter2");
      },
    ],
    [
      "rejects",
      async () => {
        throw new Error("vault password hunter2");
      },
    ],
    ["gives an empty secret", () => ""],
    ["gives no secret", () => []],
    ["gives a secret edged with white space", () => "12345\n"],
    ["gives something else", () => 12345 as unknown as string],
  ])("delivery gets 503 and nothing secret is logged when the secret function %s", async (_, secret) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { send, types } = await start({ secret });
    const answer = await send(signed([tolokaEvent("POOL_CLOSED")]));
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(answer).code).toBe("SECRET_UNAVAILABLE");
    expect(answer.text + log.mock.calls.join()).not.toMatch(/hunter2|12345/);
    expect(types).toEqual([]);
  });

  test("unsigned delivery is accepted with { unsigned: true }", async () => {
    const { send, types } = await start({ unsigned: true });
    expect((await send({ body: JSON.stringify({ events: [tolokaEvent("POOL_CLOSED")] }) })).status).toBe(200);
    expect(types).toEqual(["POOL_CLOSED"]);
  });

  test("two webhooks with different secrets never mix when their deliveries interleave", async () => {
    const one = await start({ secret: "one" });
    const two = await start({ secret: "two" });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => {
        const events = [tolokaEvent("POOL_CLOSED", { uuid: `event-${i}` })];
        const running = i % 2 ? one : two;
        return running.send(signToloka({ secret: i % 4 < 2 ? "one" : "two", timestamp: NOW, events }));
      }),
    );
    expect(answers.map((answer) => answer.status)).toEqual(
      Array.from({ length: 20 }, (_, i) => ((i % 2 === 1) === i % 4 < 2 ? 200 : 401)),
    );
    expect(one.types.length + two.types.length).toBe(10);
  });
});
