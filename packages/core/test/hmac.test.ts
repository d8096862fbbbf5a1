import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as node from "../src/hmac.node.js";
import * as web from "../src/hmac.web.js";

interface Hmac {
  prepareKey(secret: string): object | Promise<object>;
  verify(
    keys: readonly never[],
    prefix: string,
    body: Uint8Array,
    digest: string,
  ): boolean | Promise<boolean>;
}

const implementations: [string, Hmac][] = [
  ["node:crypto", node],
  ["WebCrypto", web],
];

/** RFC 4231, test cases 1, 2 and 6 with their data as text. */
const RFC_4231: [secret: string, data: string, digest: string][] = [
  ["\x0b".repeat(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
  [
    "Jefe",
    "what do ya want for nothing?",
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  ],
];

const genuine: { name: string; secret: string; ts: number; v: number; body: string; header: string }[] =
  JSON.parse(readFileSync(new URL("../../../test/vectors/toloka.json", import.meta.url), "utf8")).valid;

describe.each(implementations)("%s", (_, hmac) => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const verify = async (secrets: string[], prefix: string, body: Uint8Array, digest: string) => {
    const keys = await Promise.all(secrets.map(hmac.prepareKey));
    return hmac.verify(keys as never[], prefix, body, digest);
  };

  test.each(RFC_4231)("agrees with RFC 4231 for the key %j", async (secret, data, digest) => {
    // Wherever the data is split into prefix and body.
    for (let i = 0; i <= data.length; i++) {
      expect(await verify([secret], data.slice(0, i), bytes(data.slice(i)), digest)).toBe(true);
    }
    expect(await verify([`${secret}x`], "", bytes(data), digest)).toBe(false);
  });

  test.each(genuine)("verifies the genuine delivery $name", async ({ secret, ts, v, body, header }) => {
    const digest = (/sign=([0-9a-f]+)/.exec(header)?.[1] ?? "").padStart(64, "0");
    expect(await verify([secret], `${ts}.${v}.`, bytes(body), digest)).toBe(true);
    expect(await verify([secret], `${ts}.${v}.`, bytes(`${body} `), digest)).toBe(false);
  });

  const [secret, data, digest] = RFC_4231[1] as [string, string, string];

  test("finds the secret wherever it stands in the list", async () => {
    expect(await verify([secret, "b", "c"], "", bytes(data), digest)).toBe(true);
    expect(await verify(["a", "b", secret], "", bytes(data), digest)).toBe(true);
    expect(await verify([secret, secret], "", bytes(data), digest)).toBe(true);
    expect(await verify(["a", "b", "c"], "", bytes(data), digest)).toBe(false);
    expect(await verify([], "", bytes(data), digest)).toBe(false);
  });

  test.each([
    ["empty", ""],
    ["too short", digest.slice(1)],
    ["too long", `${digest}0`],
    ["in upper case", digest.toUpperCase()],
    ["not hex", `${digest.slice(0, 63)}g`],
    ["not ASCII", `${digest.slice(0, 63)}\u0133`],
  ])("a digest that is %s does not fit, even after one that did", async (_, wrong) => {
    expect(await verify([secret], "", bytes(data), digest)).toBe(true);
    expect(await verify([secret], "", bytes(data), wrong)).toBe(false);
  });

  test("verifies bytes that are no text, and a view into a larger buffer", async () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const { createHmac } = await import("node:crypto");
    const view = all.subarray(100, 200);
    const sign = createHmac("sha256", "k").update("1.1.").update(view).digest("hex");
    expect(await verify(["k"], "1.1.", view, sign)).toBe(true);
    expect(await verify(["k"], "1.1.", all, sign)).toBe(false);
  });
});
