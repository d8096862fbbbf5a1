import { describe, expect, test } from "vitest";
import { capabilitiesOf } from "./row-capabilities.js";
import { CASES, contentOf, NOTHING, prepare } from "./started.js";

describe.each(CASES)("$title on $name: requests", (given) => {
  const { sender } = given;
  const { sendsManyEvents } = capabilitiesOf(sender);
  const { start, signed, eventWith } = prepare(given);

  test.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])(
    "%s gets 405 with Allow: POST",
    async (method) => {
      const { send } = await start();
      const answer = await send({ method });
      expect(answer.status).toBe(405);
      expect(answer.headers.allow).toBe("POST");
      if (method !== "HEAD") expect(contentOf(answer).code).toBe("METHOD_NOT_ALLOWED");
    },
  );

  test.each(["gzip", "br", "gzip, identity"])("Content-Encoding %s gets 415", async (encoding) => {
    const { send } = await start();
    const { headers, body } = signed();
    const answer = await send({ headers: { ...headers, "content-encoding": encoding }, body });
    expect([answer.status, contentOf(answer).code]).toEqual([415, "ENCODING_UNSUPPORTED"]);
  });

  test("Content-Encoding identity is accepted", async () => {
    const { send } = await start();
    const { headers, body } = signed();
    expect((await send({ headers: { ...headers, "content-encoding": "Identity" }, body })).status).toBe(200);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"])(
    "delivery is handled whatever its Content-Type: %s",
    async (type) => {
      const { send } = await start();
      const { headers, body } = signed();
      const answer = await send({ headers: { ...headers, "content-type": type }, body });
      expect(answer.status).toBe(200);
      expect(contentOf(answer)).toEqual({ ...NOTHING, handled: 1 });
    },
  );

  test.each([false, true])(
    "body at the limit is accepted and one more byte gets 413 (chunked: %s)",
    async (chunked) => {
      const events = [eventWith()];
      const body = sender.composeBody(events);
      const { send } = await start({ maxBodySize: body.length });
      expect((await send({ ...signed({ events }), chunked })).status).toBe(200);
      const answer = await send({ ...signed({ body: `${body} ` }), chunked });
      expect([answer.status, contentOf(answer).code]).toEqual([413, "BODY_TOO_LARGE"]);
    },
  );

  // No documented field of a provider is longer than Toloka's `output_values`, with 4 MiB.
  test("default limit accepts an event with a field of 4 MiB, and refuses 5 MiB and a byte", async () => {
    const { send, types } = await start();
    const large = signed({ events: [eventWith({ added: "x".repeat(4_194_304) })] });
    expect((await send({ ...large, chunked: true })).status).toBe(200);
    expect(types).toEqual([sender.defaultType]);
    const answer = await send({ body: Buffer.alloc(5 * 1024 * 1024 + 1), chunked: true });
    expect(answer.status).toBe(413);
  });

  test.each([
    ["is not JSON", "events", "BODY_NOT_JSON"],
    ["is empty", "", "BODY_NOT_JSON"],
    ["is two documents", "{}{}", "BODY_NOT_JSON"],
    ["starts with a byte order mark", `\ufeff${sender.composeBody([eventWith()])}`, "BODY_NOT_JSON"],
    ["is null", "null", "ENVELOPE_INVALID"],
    ["is an array", "[]", "ENVELOPE_INVALID"],
    ["is a number", "1e999", "ENVELOPE_INVALID"],
    ["is an object without events", "{}", "ENVELOPE_INVALID"],
    ["is an object whose type is no text", `{"${sender.typeField}":1}`, "ENVELOPE_INVALID"],
  ])("signed body that %s gets 400", async (_, body, code) => {
    const { send } = await start();
    const answer = await send(signed({ body }));
    expect([answer.status, contentOf(answer).code]).toEqual([400, code]);
  });

  if (sendsManyEvents) {
    const envelopeOf = (events: string) => sender.composeBody([]).replace("[]", events);

    test.each([
      ["are no list", "{}"],
      ["hold null", "[null]"],
      ["hold a list", "[[]]"],
    ])("signed body whose events %s gets 400", async (_, events) => {
      const { send } = await start();
      const answer = await send(signed({ body: envelopeOf(events) }));
      expect([answer.status, contentOf(answer).code]).toEqual([400, "ENVELOPE_INVALID"]);
    });

    test("signed body with an empty list of events gets 200", async () => {
      const { send } = await start();
      const answer = await send(signed({ body: envelopeOf("[]") }));
      expect([answer.status, contentOf(answer)]).toEqual([200, NOTHING]);
    });
  }

  test("signed bytes that are not UTF-8 verify and get BODY_NOT_JSON", async () => {
    const { send } = await start();
    const text = sender.composeBody([eventWith()]).replace("{", '{"x":"\xff",');
    const answer = await send(signed({ body: Buffer.from(text, "latin1") }));
    expect([answer.status, contentOf(answer).code]).toEqual([400, "BODY_NOT_JSON"]);
  });

  test("reply is JSON and its Content-Length counts bytes", async () => {
    const { send } = await start();
    for (const answer of [await send(signed()), await send({ body: "x" }), await send({ method: "GET" })]) {
      expect(answer.headers["content-type"]).toMatch(/^application\/json/);
      expect(answer.headers["content-length"]).toBe(String(Buffer.byteLength(answer.text)));
      expect(() => contentOf(answer)).not.toThrow();
    }
  });
});
