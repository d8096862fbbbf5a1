import { createHmac } from "node:crypto";
import { beforeEach, describe, expect, test, vi } from "vitest";
import * as hmac from "#hmac";
import type { DeliveryRecord } from "../src/observing/trace.js";
import type { ReceiverOptions } from "../src/options.js";
import type { Provider } from "../src/provider.js";
import { prolific } from "../src/providers/prolific/index.js";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { findMistakes } from "../src/signature/explain.js";
import { signProlific, signToloka, tolokaEvent } from "../src/testing.js";
import { turnsDuring } from "./event-loop.js";

const SECRET = "s3cr3t";
const NOW = 1_581_682_978_000;

beforeEach(() => {
  vi.restoreAllMocks();
  vi.useFakeTimers({ now: NOW });
  return () => vi.useRealTimers();
});

interface Received {
  readonly reply: { readonly status: number; readonly body: string };
  readonly reason: string | undefined;
  readonly log: string;
}

/** Delivers a body under the signature that Toloka gave to what it sent. */
async function receive(
  sent: string | Uint8Array,
  received: string | Uint8Array,
  options: ReceiverOptions & { readonly signedWith?: string } = {},
): Promise<Received> {
  const { signedWith = SECRET, ...receiverOptions } = options;
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const records: DeliveryRecord[] = [];
  const receiver = createReceiver(toloka, {
    secret: SECRET,
    clock: () => NOW,
    observe: (record) => records.push(record),
    ...receiverOptions,
  });
  const heard = vi.fn();
  receiver.onAny(heard);
  const sign = createHmac("sha256", signedWith).update(`${NOW}.1.`).update(sent).digest("hex");
  const headers = { "toloka-signature": `{v=1, ts=${NOW}, sign=${sign}}` };
  const reply = await receiver.handle({ method: "POST", headers, body: received });
  expect(heard).not.toHaveBeenCalled();
  const lines = log.mock.calls.join();
  log.mockRestore();
  return { reply, reason: records[0]?.reason, log: lines };
}

const UNKNOWN =
  "a signature fits no secret: the delivery is forged, or its subscription has another secret. Compare the secrets.";
const BODY = JSON.stringify({
  events: [tolokaEvent("POOL_CLOSED", { pool_id: "Бассейн 1", n: [1, {}, []] })],
});
const REFUSAL = JSON.stringify({
  code: "SIGNATURE_MISMATCH",
  message: "The signature does not fit the body.",
});

/** As Python writes it: with a space after each comma and colon. */
const spaced = (json: string) =>
  JSON.stringify(JSON.parse(json), null, 1)
    .replace(/\n\s*/g, " ")
    .replace(/([{[]) | (?=[}\]])/g, "$1");
const ascii = (json: string) =>
  json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

describe("the cause of a signature that does not fit", () => {
  test.each<[string, string, RegExp]>([
    ["a line break after the secret", `${SECRET}\n`, /with the secret and a line break after it/],
    ["a line break before the secret", `\n${SECRET}`, /with the secret and a line break before it/],
    ["a Windows line break after it", `${SECRET}\r\n`, /and a Windows line break after it/],
    ["a Windows line break before it", `\r\n${SECRET}`, /and a Windows line break before it/],
    ["a space after it", `${SECRET} `, /and a space after it/],
    ["a space before it", ` ${SECRET}`, /and a space before it/],
    ["a tab after it", `${SECRET}\t`, /and a tab after it/],
    ["a tab before it", `\t${SECRET}`, /and a tab before it/],
    ["double quotes around it", `"${SECRET}"`, /in double quotes/],
  ])("is named: the platform signed with %s", async (_, signedWith, cause) => {
    expect((await receive(BODY, BODY, { signedWith })).reason).toMatch(cause);
  });

  test.each([`"${SECRET}"`, `'${SECRET}'`])(
    "is named: the app has quotes around its secret: %s",
    async (secret) => {
      const { reason, log } = await receive(BODY, BODY, { secret });
      expect(reason).toMatch(/without the quotes around it/);
      expect(log).toContain(reason);
    },
  );

  test.each<[string, string, string, RegExp]>([
    ["white space was added", BODY, ` ${BODY}\r\n`, /white space or a byte order mark was added/],
    ["a line break was cut off", `${BODY}\n`, BODY, /lost a line break at its end/],
    ["it was indented", BODY, JSON.stringify(JSON.parse(BODY), null, 2), /serialized again/],
    ["it was written in ASCII", BODY, ascii(BODY), /serialized again/],
    ["it was written as Python does", BODY, spaced(BODY), /serialized again/],
    ["Python's was written as JavaScript does", spaced(BODY), BODY, /serialized again/],
    ["Python's in ASCII was written as JavaScript does", ascii(spaced(BODY)), BODY, /serialized again/],
    ["ASCII was written as JavaScript does", ascii(BODY), BODY, /serialized again/],
    [
      "an empty list and a surrogate pair were",
      '{"a": [], "b": {}, "😀": null}',
      '{"a":[],"b":{},"😀":null}',
      /serialized again/,
    ],
    [
      "a key of an object's own make was",
      '{"__proto__": 1, "events": []}',
      '{"__proto__":1,"events":[]}',
      /serialized again/,
    ],
  ])("is named: %s on the way", async (_, sent, received, cause) => {
    expect((await receive(sent, received)).reason).toMatch(cause);
  });

  test("is found with any secret of a list, and of a function that gives it later", async () => {
    const secrets = ["old", SECRET, "new"];
    for (const secret of [secrets, async () => secrets]) {
      expect((await receive(BODY, `${BODY} `, { secret })).reason).toMatch(/white space/);
      expect((await receive(BODY, BODY, { secret, signedWith: `${SECRET}\n` })).reason).toMatch(/line break/);
    }
  });

  test("is found for Prolific, too", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const records: DeliveryRecord[] = [];
    const observe = (record: DeliveryRecord) => records.push(record);
    const receiver = createReceiver(prolific, { secret: SECRET, clock: () => NOW, observe });
    await receiver.handle(signProlific({ secret: `${SECRET}\n`, timestamp: NOW }));
    expect(records[0]?.reason).toMatch(/line break after it/);
  });

  test.each<[string, string | Uint8Array]>([
    ["forged", BODY],
    ["no JSON", "{"],
    ["not UTF-8", Buffer.from("\xff\xfe", "latin1")],
    ["nested 100,000 deep", `{"events":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["nested 30,000 deep in objects", `${'{"a":'.repeat(30_000)}1${"}".repeat(30_000)}`],
    ["5 MiB", `"${"x".repeat(5 * 1024 * 1024 - 2)}"`],
  ])("is not made up where there is none: a body that is %s", async (_, body) => {
    const { reply, reason } = await receive(body, body, { signedWith: "another" });
    expect([reply.status, reply.body, reason]).toEqual([401, REFUSAL, UNKNOWN]);
  });

  test("is named: the body is empty", async () => {
    const { reply, reason, log } = await receive("", "", { signedWith: "another" });
    expect([reply.status, reply.body]).toEqual([401, REFUSAL]);
    expect(reason).toMatch(/^a delivery has an empty body\. Check whether other code reads the body first/);
    expect(log).toContain(reason);
  });

  test("is never found in a body that is too large to be parsed for nobody", async () => {
    const parse = vi.spyOn(JSON, "parse");
    const body = `{ "events": ["${"x".repeat(256 * 1024)}"]}`;
    expect((await receive(`${body}?`, body)).reason).toBe(UNKNOWN);
    expect(parse).not.toHaveBeenCalled();
  });

  test("is told to nobody but the operator, and the reply is the same whatever it is", async () => {
    const all = [
      await receive(BODY, BODY, { signedWith: "another" }),
      await receive(BODY, BODY, { signedWith: `${SECRET}\n` }),
      await receive(BODY, BODY, { secret: `"${SECRET}"` }),
      await receive(BODY, `${BODY} `),
      await receive(BODY, spaced(BODY)),
    ];
    expect(new Set(all.map(({ reason }) => reason)).size).toBe(5);
    expect(new Set(all.map(({ reply }) => JSON.stringify(reply))).size).toBe(1);
    for (const { reply, reason, log } of all) {
      expect(reply.body).toBe(REFUSAL);
      expect(`${reason}${log}`).not.toContain(SECRET);
      expect(`${reason}${log}`).not.toContain("Бассейн");
    }
  });
});

describe("many forgeries", () => {
  const forged = () => signToloka({ secret: "guessed", timestamp: NOW, body: BODY });

  test("cost one HMAC a secret each; one a minute is looked into", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const asked = vi.fn(() => [SECRET, "another"]);
    const receiver = createReceiver(toloka, { secret: asked, clock: () => NOW });
    await receiver.handle(forged());
    const verify = vi.spyOn(hmac, "verify");
    const prepare = vi.spyOn(hmac, "prepareKey");
    for (let i = 0; i < 1_000; i++) expect((await receiver.handle(forged())).status).toBe(401);
    expect(verify).toHaveBeenCalledTimes(1_000);
    expect(prepare).not.toHaveBeenCalled();
    expect(log).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(60_000);
    verify.mockClear();
    await receiver.handle(forged());
    expect(verify.mock.calls.length).toBeGreaterThan(10);
    expect(log).toHaveBeenCalledTimes(2);
  });

  test("are refused as ever by a secret function that fails when it is asked again", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const secret = vi
      .fn<() => string>()
      .mockReturnValueOnce(SECRET)
      .mockImplementation(() => {
        throw new Error("hunter2");
      });
    const reply = await createReceiver(toloka, { secret, clock: () => NOW }).handle(forged());
    expect([reply.status, reply.body]).toEqual([401, REFUSAL]);
  });

  test("of 5 MiB do not hold up the process: what is looked into is bounded, however many secrets there are", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const secret = Array.from({ length: 50 }, (_, i) => `secret-${i}`);
    const receiver = createReceiver(toloka, { secret, clock: () => NOW });
    const body = "x".repeat(5 * 1024 * 1024);
    let hashed = 0;
    const verify = hmac.verify;
    vi.spyOn(hmac, "verify").mockImplementation((keys, signature, bytes) => {
      hashed += keys.length * bytes.byteLength;
      return verify(keys, signature, bytes);
    });
    await receiver.handle(signToloka({ secret: "guessed", timestamp: NOW, body }));
    // Checking the signature takes one HMAC a secret; finding out what is wrong may take no more than that again.
    expect(hashed).toBeLessThanOrEqual(2 * 50 * body.length);
  });
});

describe("the search for a mistake", () => {
  const secrets = Array.from({ length: 1_000 }, (_, i) => `secret-${i}`);

  test("counts the keys that it prepares, so that a short body and many secrets do not make it long", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = createReceiver(toloka, { secret: secrets, clock: () => NOW });
    const prepare = vi.spyOn(hmac, "prepareKey");
    await receiver.handle(signToloka({ secret: "guessed", timestamp: NOW, body: "{}" }));
    // Nine kinds of white space and two of quotes for each secret would be 11,000 keys.
    expect(prepare.mock.calls.length).toBeGreaterThan(1_000);
    expect(prepare.mock.calls.length).toBeLessThanOrEqual(32 * 128);
  });

  test("lets other code run after each MiB that it hashed", async () => {
    vi.useRealTimers();
    vi.spyOn(console, "error").mockImplementation(() => {});
    const receiver = createReceiver(toloka, { secret: SECRET, clock: () => NOW });
    const body = "x".repeat(1024 * 1024);
    const forged = signToloka({ secret: "guessed", timestamp: NOW, body });
    const { turns } = await turnsDuring(() => receiver.handle(forged));
    // Ten variants of the secret, and some of the body.
    expect(turns).toBeGreaterThanOrEqual(10);
  });

  test.each<[string, string, string, RegExp]>([
    [
      "Windows",
      BODY.replaceAll(",", ",\r\n"),
      BODY.replaceAll(",", ",\n"),
      /line ends in the body were changed/,
    ],
    [
      "Unix",
      BODY.replaceAll(",", ",\n"),
      BODY.replaceAll(",", ",\r\n"),
      /line ends in the body were changed/,
    ],
    ["base64", BODY, Buffer.from(BODY).toString("base64"), /still in base64/],
  ])("finds a body whose bytes were changed: %s", async (_, sent, received, cause) => {
    expect((await receive(sent, received)).reason).toMatch(cause);
  });
});

describe("findMistakes", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const suspect = (options: Parameters<typeof signToloka>[0], body = options.body ?? "") => ({
    secrets: [SECRET],
    headers: new Headers(signToloka({ timestamp: NOW, ...options }).headers),
    body: bytes(body),
  });
  const find = async (...args: Parameters<typeof findMistakes>) =>
    (await findMistakes(...args)).filter(({ found }) => found);
  const provider = toloka as unknown as Provider;
  const others = [prolific as unknown as Provider];

  test("names the white space that the secret was signed with", async () => {
    expect(await find(provider, others, suspect({ secret: `${SECRET}\n`, body: BODY }))).toMatchObject([
      {
        name: "secret-white-space",
        mistake: "a delivery was signed with the secret and a line break after it",
      },
    ]);
  });

  test("finds the secret of another provider", async () => {
    const { headers, body } = suspect({ secret: "other", body: BODY });
    const given = { secrets: [SECRET], otherSecrets: ["other"], headers, body };
    expect(await find(provider, others, given)).toMatchObject([{ name: "secret-other" }]);
  });

  test("names the provider that the headers belong to", async () => {
    const { headers } = signProlific({ secret: SECRET, timestamp: NOW });
    const given = { secrets: [SECRET], headers: new Headers(headers), body: bytes(BODY) };
    expect(await find(provider, others, given)).toMatchObject([
      { name: "wrong-provider", fix: 'pass "prolific" as the provider' },
    ]);
  });

  test("finds one of Prolific's headers missing, cut off, or in milliseconds", async () => {
    const [other, ...rest] = [others[0] as Provider, provider];
    const signed = signProlific({ secret: SECRET, timestamp: NOW, body: "{}" });
    const findIn = async (changes: Record<string, string>) => {
      const headers = new Headers({ ...signed.headers, ...changes });
      const found = await find(other, rest, { secrets: [SECRET], headers, body: bytes("{}") });
      return found.map(({ name }) => name);
    };
    expect(await findIn({ "x-prolific-request-timestamp": "" })).toEqual(["header-missing"]);
    const digest = signed.headers["x-prolific-request-signature"] ?? "";
    expect(await findIn({ "x-prolific-request-signature": digest.slice(0, -4) })).toEqual(["header-cut-off"]);
    expect(await findIn({ "x-prolific-request-timestamp": String(NOW) })).toEqual(["time-unit"]);
  });

  test("parses no body that is larger than the effort allows", async () => {
    const given = suspect({ secret: SECRET, body: BODY }, JSON.stringify(JSON.parse(BODY), null, 2));
    expect(await find(provider, others, given)).toMatchObject([{ name: "body-serialized-again" }]);
    expect(await find(provider, others, given, { parsed: 10 })).toEqual([]);
  });

  test("survives JSON that is nested too deeply to be serialized", async () => {
    const body = `${'{"a":'.repeat(30_000)}1${"}".repeat(30_000)}`;
    expect(await find(provider, others, suspect({ secret: "another", body }))).toEqual([]);
  });
});
