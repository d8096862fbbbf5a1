import { describe, expect, test } from "vitest";
import { inspect } from "../src/inspect.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { signToloka, tolokaEvent } from "../src/testing.js";

const NOW = 1_581_682_978_000;

const deliveryOf = ({ headers, body }: { headers: Readonly<Record<string, string>>; body: string }) => ({
  headers: new Headers(headers),
  body: new TextEncoder().encode(body),
});
const signed = (options: object = {}) =>
  signToloka({
    secret: "second",
    timestamp: NOW - 2_000,
    events: [tolokaEvent("POOL_CLOSED", { uuid: "1" })],
    ...options,
  });

describe("inspect", () => {
  test("says which secret it was signed with, how long ago, and what is in it", async () => {
    const options = { secrets: ["first", "second"], now: NOW };
    expect(await inspect(toloka, deliveryOf(signed()), options)).toMatchObject({
      code: undefined,
      reason: undefined,
      secret: 1,
      age: 2,
      events: [{ type: "POOL_CLOSED", id: "1" }],
    });
  });

  test("reads the events of what is not accepted, and says why that is", async () => {
    const options = { secrets: ["first"], now: NOW };
    expect(await inspect(toloka, deliveryOf(signed()), options)).toMatchObject({
      code: "SIGNATURE_MISMATCH",
      secret: undefined,
      age: 2,
      events: [{ id: "1" }],
    });
    expect((await inspect(toloka, deliveryOf(signed({ secret: "first\n" })), options)).reason).toContain(
      "the secret and a line break after it",
    );
    expect(await inspect(prolific, deliveryOf(signed()), options)).toMatchObject({
      code: "SIGNATURE_MISSING",
    });
  });

  test("tells a wrong clock from a time in the wrong unit", async () => {
    const options = { secrets: ["second"], now: NOW };
    const reasonOf = async (timestamp: number) =>
      (await inspect(toloka, deliveryOf(signed({ timestamp })), options)).reason;
    expect(await reasonOf(NOW - 400_000)).toContain("400 seconds ago");
    expect(await reasonOf(NOW + 400_000)).toContain("400 seconds in the future");
    expect(await reasonOf(Math.round(NOW / 1000))).toContain("in seconds instead of milliseconds");
  });

  test("asks for no signature where there are no secrets, and says what cannot be read", async () => {
    const options = { secrets: [], now: NOW };
    expect(await inspect(toloka, deliveryOf(signed()), options)).toMatchObject({ code: undefined });
    expect(await inspect(toloka, deliveryOf({ headers: {}, body: "{" }), options)).toMatchObject({
      code: "BODY_NOT_JSON",
      events: [],
    });
    expect(
      await inspect(toloka, deliveryOf(signed({ body: "[]" })), { secrets: ["second"], now: NOW }),
    ).toMatchObject({
      code: "ENVELOPE_INVALID",
      secret: 0,
    });
  });
});
