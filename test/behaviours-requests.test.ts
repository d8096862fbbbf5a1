import { tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { contentOf, prepare, signed, signedBytes } from "./started.js";
import { TARGETS } from "./targets.js";

describe.each(TARGETS)("$name: requests", (target) => {
  const { start } = prepare(target);

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
    const { headers, body } = signed([]);
    const answer = await send({ headers: { ...headers, "content-encoding": encoding }, body });
    expect([answer.status, contentOf(answer).code]).toEqual([415, "ENCODING_UNSUPPORTED"]);
  });

  test("Content-Encoding identity is accepted", async () => {
    const { send } = await start();
    const { headers, body } = signed([]);
    expect((await send({ headers: { ...headers, "content-encoding": "Identity" }, body })).status).toBe(200);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"])(
    "delivery is handled whatever its Content-Type: %s",
    async (type) => {
      const { send } = await start();
      const { headers, body } = signed([tolokaEvent("POOL_CLOSED")]);
      expect((await send({ headers: { ...headers, "content-type": type }, body })).status).toBe(200);
    },
  );

  test.each([false, true])(
    "body at the limit is accepted and one more byte gets 413 (chunked: %s)",
    async (chunked) => {
      const body = JSON.stringify({ events: [] });
      const { send } = await start({ maxBodySize: body.length });
      expect((await send({ ...signed(body), chunked })).status).toBe(200);
      const answer = await send({ ...signed(`${body} `), chunked });
      expect([answer.status, contentOf(answer).code]).toEqual([413, "BODY_TOO_LARGE"]);
    },
  );

  test("default limit accepts 4 MiB, the maximum of a field of Toloka, and refuses 5 MiB and a byte", async () => {
    const { send, types } = await start();
    const large = tolokaEvent("DYNAMIC_OVERLAP_COMPLETED", {
      output_values: { text: "x".repeat(4_194_304) },
    });
    expect((await send({ ...signed([large]), chunked: true })).status).toBe(200);
    expect(types).toEqual(["DYNAMIC_OVERLAP_COMPLETED"]);
    const answer = await send({ body: Buffer.alloc(5 * 1024 * 1024 + 1), chunked: true });
    expect(answer.status).toBe(413);
  });

  test.each([
    ["is not JSON", "events", "BODY_NOT_JSON"],
    ["is empty", "", "BODY_NOT_JSON"],
    ["is two documents", "{}{}", "BODY_NOT_JSON"],
    ["starts with a byte order mark", '\ufeff{"events":[]}', "BODY_NOT_JSON"],
    ["is null", "null", "ENVELOPE_INVALID"],
    ["is an array", "[]", "ENVELOPE_INVALID"],
    ["is a number", "1e999", "ENVELOPE_INVALID"],
    ["is an object without events", "{}", "ENVELOPE_INVALID"],
    ["has events that are no list", '{"events":{}}', "ENVELOPE_INVALID"],
    ["has an event that is null", '{"events":[null]}', "ENVELOPE_INVALID"],
    ["has an event that is a list", '{"events":[[]]}', "ENVELOPE_INVALID"],
  ])("signed body that %s gets 400", async (_, body, code) => {
    const { send } = await start();
    const answer = await send(signed(body));
    expect([answer.status, contentOf(answer).code]).toEqual([400, code]);
  });

  test("signed bytes that are not UTF-8 verify and get BODY_NOT_JSON", async () => {
    const { send } = await start();
    const bytes = Buffer.from('{"events":[],"x":"\xff"}', "latin1");
    const answer = await send(signedBytes(bytes));
    expect([answer.status, contentOf(answer).code]).toEqual([400, "BODY_NOT_JSON"]);
  });

  test("reply is JSON and its Content-Length counts bytes", async () => {
    const { send } = await start();
    for (const answer of [await send(signed([])), await send({ body: "x" }), await send({ method: "GET" })]) {
      expect(answer.headers["content-type"]).toMatch(/^application\/json/);
      expect(answer.headers["content-length"]).toBe(String(Buffer.byteLength(answer.text)));
      expect(() => contentOf(answer)).not.toThrow();
    }
  });
});
