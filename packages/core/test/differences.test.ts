import { describe, expect, test } from "vitest";
import { differencesBetween, inspect, toPythonJson } from "../src/inspect.js";
import { toloka } from "../src/providers/toloka/index.js";
import { signToloka, tolokaEvent } from "../src/testing.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);

/** Returns the received text of each difference, an arrow, and the fitting text. */
function shown(received: string, fitting: string): readonly string[] {
  const [a, b] = [bytes(received), bytes(fitting)];
  return differencesBetween(a, b).map(
    ({ at, length, fittingAt, fittingLength }) =>
      `${text(a.subarray(at, at + length))}→${text(b.subarray(fittingAt, fittingAt + fittingLength))}`,
  );
}

/** Returns the received bytes with each difference replaced by the fitting bytes. */
function repaired(a: Uint8Array, b: Uint8Array): Uint8Array {
  const parts: number[] = [];
  let done = 0;
  for (const { at, length, fittingAt, fittingLength } of differencesBetween(a, b)) {
    parts.push(...a.subarray(done, at), ...b.subarray(fittingAt, fittingAt + fittingLength));
    done = at + length;
  }
  return Uint8Array.from([...parts, ...a.subarray(done)]);
}

describe("differencesBetween", () => {
  test.for([
    ["equal texts", '{"a":1}', '{"a":1}', []],
    ["a line break at the end", '{"a":1}\n', '{"a":1}', ["\n→"]],
    ["a lost line break", '{"a":1}', '{"a":1}\r\n', ["→\r\n"]],
    [
      "spaces after commas and colons",
      '{"a":1,"b":[1,2]}',
      '{"a": 1, "b": [1, 2]}',
      ["→ ", "→ ", "→ ", "→ "],
    ],
    ["a letter as an escape", '{"a":"é!"}', '{"a":"\\u00e9!"}', ["é→\\u00e9"]],
    ["line ends of Windows", "{\r\n}\r\n", "{\n}\n", ["\r→", "\r→"]],
    ["an empty text", "", "{}", ["→{}"]],
  ] as const)("finds %s", ([, received, fitting, differences]) => {
    expect(shown(received, fitting)).toEqual(differences);
  });

  test("describes every pair of texts: replacing each difference gives the fitting text", () => {
    const letters = "ab\n";
    for (let seed = 0; seed < 2_000; seed++) {
      const pick = (n: number) => letters[(seed * 7919 + n * 104_729 + ((seed * n) % 13)) % 3] ?? "";
      const a = bytes(Array.from({ length: seed % 17 }, (_, n) => pick(n)).join(""));
      const b = bytes(Array.from({ length: seed % 11 }, (_, n) => pick(n + 3)).join(""));
      expect(repaired(a, b)).toEqual(b);
    }
  });

  test("counts the rest as one difference after 10,000, and stays fast for 5 MiB", () => {
    const received = bytes("ab".repeat(2_500_000));
    const fitting = bytes("a b".repeat(1_700_000));
    expect(differencesBetween(received, fitting)).toHaveLength(10_000);
  });
});

describe("inspect", () => {
  const now = 1_581_682_978_000;
  const secret = "12345";
  const deliver = async (sent: string, received: string, secrets = [secret], otherSecrets: string[] = []) => {
    const { headers } = signToloka({ secret, body: sent, timestamp: now });
    const delivery = { headers: new Headers(headers), body: bytes(received) };
    return inspect(toloka, delivery, { secrets, otherSecrets, now });
  };

  test("returns the body that fits, and where the received one differs", async () => {
    const body = { events: [tolokaEvent("POOL_CLOSED")] };
    const { mismatch } = await deliver(toPythonJson(body), JSON.stringify(body));
    expect(mismatch).toMatchObject({ name: "body-serialized-again", about: "body" });
    expect(text(mismatch?.body ?? bytes(""))).toBe(toPythonJson(body));
    expect(mismatch?.differences.length).toBeGreaterThan(5);
  });

  test("returns no difference for a mistake with the secret", async () => {
    expect((await deliver("{}", "{}", ["other"], [secret])).mismatch).toMatchObject({
      name: "secret-other",
      about: "secret",
      differences: [],
    });
  });

  test("returns no mismatch for a genuine delivery, nor for a mistake that it does not know", async () => {
    expect(await deliver("{}", "{}")).toMatchObject({ mismatch: undefined });
    expect(await deliver('{"a":1}', '{"a":2}')).toMatchObject({
      code: "SIGNATURE_MISMATCH",
      mismatch: undefined,
    });
  });

  test("says why a signature cannot be read", async () => {
    const delivery = { headers: new Headers({ "toloka-signature": "{v=1, ts=1" }), body: bytes("{}") };
    expect(await inspect(toloka, delivery, { secrets: [secret], now })).toMatchObject({
      code: "SIGNATURE_MALFORMED",
      reason: expect.stringContaining("cut off"),
    });
  });
});
