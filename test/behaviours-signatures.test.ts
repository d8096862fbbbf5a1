import { describe, expect, test, vi } from "vitest";
import { secretOf } from "./defined-providers.js";
import { genuineVectors, withOtherDigits, withOtherNumbers } from "./genuine-vectors.js";
import { capabilitiesOf } from "./row-capabilities.js";
import { CASES, contentOf, NOTHING, NOW, placesIn, prepare } from "./started.js";

describe.each(CASES)("$title on $name: signatures", (given) => {
  const { sender } = given;
  const { sendsOneSignature, signsTime, givesEventsIds } = capabilitiesOf(sender);
  const { clock, start, startAll, secret, otherSecret, signed } = prepare(given);
  const { headers: names, aliases = [], timestamp } = sender.provider.signatureFormat;
  const signatureHeaders = names.map((name) => name.toLowerCase());
  const header = names[0].toLowerCase();
  const unit = timestamp?.unit === "seconds" ? 1000 : 1;
  const vectors = genuineVectors(sender);

  test.each(vectors)("genuine delivery $name gets 200", async ({ time, headers, body, types, ...vector }) => {
    clock.set(time);
    const started = await start({ secret: [otherSecret, vector.secret] });
    const answer = await started.send({ headers, body });
    expect(answer.status).toBe(200);
    expect(started.types).toEqual(types);
  });

  test.each(vectors)(
    "delivery $name gets 401 and reaches no listener when anything in it is changed",
    async (vector) => {
      clock.set(vector.time);
      const { send, types } = await start({ secret: vector.secret });
      const genuine = Buffer.from(vector.body);
      for (const place of placesIn(genuine, given)) {
        const body = Buffer.from(genuine);
        body[place] = (body[place] ?? 0) ^ 1;
        const answer = await send({ headers: vector.headers, body });
        expect([place, answer.status]).toEqual([place, 401]);
      }
      const signedHeaders = [names, ...aliases].flat().map((name) => name.toLowerCase());
      for (const [name, value] of Object.entries(vector.headers)) {
        if (!signedHeaders.includes(name)) continue;
        const places = (digest: string) => placesIn(digest, given);
        for (const other of [...withOtherDigits(value, places), ...withOtherNumbers(value), `${value}0`]) {
          const answer = await send({ headers: { ...vector.headers, [name]: other }, body: vector.body });
          expect([name, other, answer.status]).toEqual([name, other, 401]);
        }
      }
      expect(types).toEqual([]);
    },
  );

  test.each(signatureHeaders)(
    "delivery without the header %s gets 401 and reaches no listener",
    async (name) => {
      const { send, types } = await start();
      const { headers, body } = signed();
      delete headers[name];
      const answer = await send({ headers, body });
      expect(answer.status).toBe(401);
      const code = name === header ? "SIGNATURE_MISSING" : "SIGNATURE_MALFORMED";
      expect(contentOf(answer)).toEqual({ code, message: expect.any(String) });
      expect(types).toEqual([]);
    },
  );

  test("empty signature header counts as missing", async () => {
    const { send } = await start();
    const { headers, body } = signed();
    const answer = await send({ headers: { ...headers, [header]: "" }, body });
    expect(contentOf(answer)).toMatchObject({ code: "SIGNATURE_MISSING" });
  });

  if (sendsOneSignature)
    test("signature header sent twice is malformed, even when both are genuine", async () => {
      const { send, types } = await start();
      const { headers, body } = signed();
      const genuine = headers[header] ?? "";
      const answer = await send({ headers: { ...headers, [header]: [genuine, genuine] }, body });
      expect([answer.status, contentOf(answer).code]).toEqual([401, "SIGNATURE_MALFORMED"]);
      expect(types).toEqual([]);
    });
  else
    test("signature headers sent twice are one list, and one genuine signature in it is enough", async () => {
      const { send } = await start();
      const { headers, body } = signed();
      const forged = signed({ secret: otherSecret, body }).headers[header] ?? "";
      const answer = await send({ headers: { ...headers, [header]: [forged, headers[header] ?? ""] }, body });
      expect(contentOf(answer)).toEqual({ ...NOTHING, handled: 1 });
    });

  test("reply to a forged delivery says only that the signature does not match", async () => {
    const { send, types } = await start();
    const answer = await send(signed({ secret: otherSecret }));
    expect(answer.status).toBe(401);
    expect(contentOf(answer)).toEqual({ code: "SIGNATURE_MISMATCH", message: expect.any(String) });
    expect(types).toEqual([]);
  });

  if (signsTime) {
    test.each([
      ["at the edge of the past", -300_000, 200],
      ["too old by one unit of its time", -300_000 - unit, 401],
      ["at the edge of the future", 300_000, 200],
      ["too far in the future by one unit of its time", 300_000 + unit, 401],
    ])("genuine delivery %s: %i ms, %i", async (_, offset, status) => {
      const { send } = await start();
      const answer = await send(signed({ timestamp: NOW + offset }));
      expect(answer.status).toBe(status);
      if (status === 401) expect(contentOf(answer).code).toBe("TIMESTAMP_OUT_OF_TOLERANCE");
    });

    test("tolerance of 0 accepts only the current time, in the provider's unit", async () => {
      const { send } = await start({ tolerance: 0 });
      expect((await send(signed())).status).toBe(200);
      expect((await send(signed({ timestamp: NOW - unit }))).status).toBe(401);
      expect((await send(signed({ timestamp: NOW + unit }))).status).toBe(401);
    });
  }

  test("every secret of a list is valid", async () => {
    const secrets = [secretOf(sender, "the-old-secret"), secret, secretOf(sender, "the-new-secret")];
    const { send } = await start({ secret: secrets });
    for (const each of secrets) {
      expect((await send(signed({ secret: each }))).status).toBe(200);
    }
    expect((await send(signed({ secret: otherSecret }))).status).toBe(401);
  });

  test("secret function gets the delivery and may return a promise", async () => {
    const secretOfTenant = vi.fn(async (delivery) => [
      secretOf(sender, `secret-of-${delivery.headers.get("X-Tenant")}`),
    ]);
    const { send } = await start({ secret: secretOfTenant });
    const { headers, body } = signed({ secret: secretOf(sender, "secret-of-a") });
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
    ["gives a secret edged with white space", () => `${secret}\n`],
    ["gives something else", () => 12345 as unknown as string],
  ])("delivery gets 503 and nothing secret is logged when the secret function %s", async (_, source) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const { send, types } = await start({ secret: source });
    const answer = await send(signed());
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
    expect(contentOf(answer).code).toBe("SECRET_UNAVAILABLE");
    const shown = answer.text + log.mock.calls.join();
    for (const hidden of ["hunter2", "12345", secret]) expect(shown).not.toContain(hidden);
    expect(types).toEqual([]);
  });

  test("delivery without a signature is handled with { unsigned: true }", async () => {
    const { send, types } = await start({ unsigned: true });
    const { headers, body } = signed();
    delete headers[header];
    expect(contentOf(await send({ headers, body }))).toEqual({ ...NOTHING, handled: 1 });
    expect(types).toEqual([sender.defaultType]);
  });

  test("forged and old delivery is handled with { unsigned: true }", async () => {
    const { send } = await start({ unsigned: true });
    const forged = signed({ secret: otherSecret, timestamp: NOW - 3_600_000 });
    expect(contentOf(await send(forged))).toEqual({ ...NOTHING, handled: 1 });
  });

  if (givesEventsIds)
    test("redelivered event without a signature is a duplicate with { unsigned: true }", async () => {
      const { send, types } = await start({ unsigned: true });
      const { headers, body } = signed();
      delete headers[header];
      await send({ headers, body });
      expect(contentOf(await send({ headers, body }))).toEqual({ ...NOTHING, duplicate: 1 });
      expect(types).toEqual([sender.defaultType]);
    });

  test("two webhooks of one app with different secrets never mix when their deliveries interleave", async () => {
    const { send, webhooks } = await startAll([
      { path: "/one", secret },
      { path: "/two", secret: otherSecret },
    ]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        send({ ...signed({ secret: i % 4 < 2 ? secret : otherSecret }), path: i % 2 ? "/one" : "/two" }),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual(
      Array.from({ length: 20 }, (_, i) => ((i % 2 === 1) === i % 4 < 2 ? 200 : 401)),
    );
    expect(webhooks.map(({ types }) => types.length)).toEqual([5, 5]);
  });
});
