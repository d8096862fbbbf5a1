import { describe, expect, test } from "vitest";
import { verify, WebhookError } from "../src/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { signToloka, tolokaEvent } from "../src/testing.js";

const SECRET = "12345";
const event = tolokaEvent("POOL_CLOSED");

describe("verify", () => {
  test("returns the typed events of a genuine delivery", async () => {
    const [first] = await verify(toloka, signToloka({ secret: SECRET, events: [event] }), SECRET);
    expect(first).toMatchObject({ type: "POOL_CLOSED", id: event.uuid, data: event });
  });

  test.each([
    ["is forged", signToloka({ secret: "another", events: [event] }), "SIGNATURE_MISMATCH", 401],
    ["is not signed", { headers: {}, body: "{}" }, "SIGNATURE_MISSING", 401],
    ["is old", signToloka({ secret: SECRET, timestamp: 0 }), "TIMESTAMP_OUT_OF_TOLERANCE", 401],
    ["is not JSON", signToloka({ secret: SECRET, body: "{" }), "BODY_NOT_JSON", 400],
    ["is no envelope", signToloka({ secret: SECRET, body: "{}" }), "ENVELOPE_INVALID", 400],
  ])("throws a WebhookError when the delivery %s", async (_, delivery, code, status) => {
    const failed = verify(toloka, delivery, SECRET);
    await expect(failed).rejects.toBeInstanceOf(WebhookError);
    await expect(failed).rejects.toMatchObject({ code, status });
  });
});
