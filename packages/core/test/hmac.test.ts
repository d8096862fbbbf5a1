import crypto, { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import type { SignedText } from "../src/providers/signature-format.js";
import * as node from "../src/signature/hmac.node.js";
import * as web from "../src/signature/hmac.web.js";
import { turnsDuring } from "./event-loop.js";

interface Hmac {
  prepareKey(secret: string | Uint8Array, algorithm?: "sha256" | "sha1"): object | Promise<object>;
  verify(keys: readonly never[], signature: SignedText, body: Uint8Array): boolean | Promise<boolean>;
}

const implementations: [string, Hmac][] = [
  ["node:crypto", node],
  ["WebCrypto", web],
];

/** RFC 4231, test cases 1 and 2. Their keys are text. Case 4 is below. */
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
    const keys = await Promise.all(secrets.map((secret) => hmac.prepareKey(secret)));
    return hmac.verify(keys as never[], { prefix, digest }, body);
  };

  test.each(RFC_4231)("verify agrees with RFC 4231 for the key %j", async (secret, data, digest) => {
    // The result must not depend on where prefix and body meet.
    for (let i = 0; i <= data.length; i++) {
      expect(await verify([secret], data.slice(0, i), bytes(data.slice(i)), digest)).toBe(true);
    }
    expect(await verify([`${secret}x`], "", bytes(data), digest)).toBe(false);
  });

  test("verify agrees with RFC 4231 when the data is not text", async () => {
    const secret = String.fromCharCode(...Array.from({ length: 25 }, (_, i) => i + 1));
    const data = new Uint8Array(50).fill(0xcd);
    const digest = "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b";
    expect(await verify([secret], "", data, digest)).toBe(true);
    expect(await verify([secret], "", data.subarray(1), digest)).toBe(false);
  });

  // Keys around the HMAC block of 64 bytes. Bodies around 32 KiB: up to there, node:crypto hashes in one call.
  test.each([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300])(
    "verify agrees with createHmac of node:crypto for a secret of %d bytes and bodies of any size",
    async (length) => {
      const secret = "k".repeat(length);
      for (const size of [0, 1, 55, 56, 63, 64, 65, 1000, 32_687, 32_688, 32_689, 32_704, 33_000, 100_000]) {
        const body = Uint8Array.from({ length: size }, (_, i) => i % 251);
        const digest = createHmac("sha256", secret).update("1581682978000.1.").update(body).digest("hex");
        expect([size, await verify([secret], "1581682978000.1.", body, digest)]).toEqual([size, true]);
        const other = digest.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
        expect([size, await verify([secret], "1581682978000.1.", body, other)]).toEqual([size, false]);
      }
    },
  );

  test.each(genuine)(
    "verify accepts the genuine delivery $name, and refuses it when its body changed",
    async ({ secret, ts, v, body, header }) => {
      const digest = (/sign=([0-9a-f]+)/.exec(header)?.[1] ?? "").padStart(64, "0");
      expect(await verify([secret], `${ts}.${v}.`, bytes(body), digest)).toBe(true);
      expect(await verify([secret], `${ts}.${v}.`, bytes(`${body} `), digest)).toBe(false);
    },
  );

  const [secret, data, digest] = RFC_4231[1] as [string, string, string];

  test("verify finds the matching secret at any position of the list", async () => {
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
  ])("verify refuses a digest that is %s, also after it accepted one", async (_, wrong) => {
    expect(await verify([secret], "", bytes(data), digest)).toBe(true);
    expect(await verify([secret], "", bytes(data), wrong)).toBe(false);
  });

  test("verify lets other code run after each MiB that it hashed, and still tries every key", async () => {
    const body = new Uint8Array(1024 * 1024);
    const sign = createHmac("sha256", "secret").update("1.").update(body).digest("hex");
    for (const secrets of [
      ["secret", "b", "c", "d", "e"],
      ["a", "b", "c", "d", "secret"],
      ["a", "b", "c", "d", "e"],
    ]) {
      const keys = (await Promise.all(secrets.map((secret) => hmac.prepareKey(secret)))) as never[];
      const { result, turns } = await turnsDuring(() =>
        hmac.verify(keys, { prefix: "1.", digest: sign }, body),
      );
      expect(result).toBe(secrets.includes("secret"));
      expect(turns).toBeGreaterThanOrEqual(4);
    }
  });

  test("verify accepts bytes that are not text, and a view into a larger buffer", async () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const view = all.subarray(100, 200);
    const sign = createHmac("sha256", "k").update("1.1.").update(view).digest("hex");
    expect(await verify(["k"], "1.1.", view, sign)).toBe(true);
    expect(await verify(["k"], "1.1.", all, sign)).toBe(false);
  });
});

test("verify of node:crypto is synchronous for up to 1 MiB in total, and for one key", () => {
  const keys = ["a", "b", "c", "d"].map((secret) => node.prepareKey(secret));
  for (const [count, size] of [
    [4, 256 * 1024],
    [1, 5 * 1024 * 1024],
  ] as const) {
    const body = new Uint8Array(size);
    const digest = createHmac("sha256", "a").update(body).digest("hex");
    expect(node.verify(keys.slice(0, count), { prefix: "", digest }, body)).toBe(true);
  }
});

test("verify agrees with RFC 4231 when node:crypto has no one-call hash", async () => {
  vi.resetModules();
  vi.doMock("node:crypto", () => ({ ...crypto, default: { ...crypto, hash: undefined } }));
  const old: typeof node = await import("../src/signature/hmac.node.js");
  for (const [secret, data, digest] of RFC_4231) {
    const body = new TextEncoder().encode(data);
    expect(old.verify([old.prepareKey(secret)], { prefix: "", digest }, body)).toBe(true);
    expect(old.verify([old.prepareKey(`${secret}x`)], { prefix: "", digest }, body)).toBe(false);
  }
  vi.doUnmock("node:crypto");
});
