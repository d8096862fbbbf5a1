import { describe, expect, test } from "vitest";
import { createHider } from "../src/text/hide-secrets.js";

const SECRETS = [
  "test-key-12345",
  "a/b+c=d&e f\"g'h<i>\\j",
  "pässwörd-€-🔑",
  "tab\tline\nend",
  "\\\\\\\\\\\\",
];

/** The ways in which servers, proxies and logs write a text. */
const SPELLINGS: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  "upper case": (text) => text.replace(/[a-z]/g, (letter) => letter.toUpperCase()),
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  "JSON in JSON": (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3),
  "JSON with escaped slashes": (text) => JSON.stringify(text).slice(1, -1).replaceAll("/", "\\/"),
  "JSON in ASCII": (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replace(/[<>&\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  "JSON with every character escaped": (text) =>
    text.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`),
  "percent-encoding": encodeURIComponent,
  "percent-encoding in lower case": (text) =>
    encodeURIComponent(text).replace(/%../g, (byte) => byte.toLowerCase()),
  "percent-encoding of every byte": (text) => Buffer.from(text).toString("hex").replace(/../g, "%$&"),
  "percent-encoding twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  "a URL": (text) => encodeURI(text),
  "a form": (text) => new URLSearchParams({ "": text }).toString().slice(1),
  base64: (text) => Buffer.from(text).toString("base64"),
  "base64 in a URL": (text) => encodeURIComponent(Buffer.from(text).toString("base64")),
  base64url: (text) => Buffer.from(text).toString("base64url"),
  hex: (text) => Buffer.from(text).toString("hex"),
  "hex in upper case": (text) => Buffer.from(text).toString("hex").toUpperCase(),
  HTML: (text) =>
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;"),
  "HTML with every character escaped": (text) =>
    [...text].map((char) => `&#x${char.codePointAt(0)?.toString(16)};`).join(""),
  "HTML with decimal numbers": (text) => [...text].map((char) => `&#${char.codePointAt(0)};`).join(""),
};

describe.for(SECRETS)("createHider hides %j", (secret) => {
  const hide = createHider([undefined, "", secret]);

  test.for(Object.entries(SPELLINGS))("as %s", ([, spell]) => {
    expect(hide(`before [${spell(secret)}] after`)).toMatch(/^before \[\[hidden\]=*\] after$|%3d\] after$/i);
  });

  test.for(["", "u", "us", "user:"])("behind %j in base64", (before) => {
    for (const encoding of ["base64", "base64url"] as const) {
      const text = Buffer.from(`${before}${secret}:after`).toString(encoding);
      const shown = hide(text);
      expect(shown).toContain("[hidden]");
      const rest = shown.split("[hidden]").map((part) => Buffer.from(part, "base64").toString("latin1"));
      expect(rest.join("")).not.toContain(secret.slice(1, 4));
    }
  });
});

describe("createHider", () => {
  test("hides a secret that begins with another one as a whole", () => {
    expect(createHider(["key", "key-two", "key"])("key-two, key")).toBe("[hidden], [hidden]");
  });

  test("leaves a text without a secret as it is", () => {
    const text = "The pool 12345 is closed: &lt;b&gt; %20 \\u0041 dGVzdA==";
    expect(createHider(["test-key", "s"])(text.replaceAll("s", ""))).toBe(text.replaceAll("s", ""));
    expect(createHider([])(text)).toBe(text);
  });

  test("inserts the replacement as it is, with a $ in it", () => {
    expect(createHider(["key"], "$&")("a key")).toBe("a $&");
  });

  test("needs little time for a long text that nearly has the secret many times", () => {
    const hide = createHider(["\\".repeat(40), "a".repeat(200)]);
    const began = process.cpuUsage();
    hide(`${"\\".repeat(39)}x`.repeat(500) + `${"a".repeat(199)}b`.repeat(100) + "&amp;".repeat(5_000));
    // Time of the processor, in microseconds: other processes do not count.
    expect(process.cpuUsage(began).user).toBeLessThan(2_000_000);
  });
});
