import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { jsonOf, linesOf, PROLIFIC_SECRET, post, TOLOKA_SECRET, TYPES, useCli } from "./cli-fixture.js";

const { listening, run, serve, unused } = useCli();

describe("listen", () => {
  test("reports every type of each provider as genuine, and a copy as a duplicate", async () => {
    const { process, url } = await listening();
    const sent = await run(["send", "all", "--to", url, "--duplicate"]);
    expect(sent.code).toBe(0);
    for (const type of TYPES) {
      expect(sent.stdout).toMatch(new RegExp(`✓ ${type} +200 {2}1 handled`));
      expect(sent.stdout).toMatch(new RegExp(`✓ ${type} again +200 {2}1 duplicate`));
    }
    expect(sent.stdout).toContain("13 handled, 13 duplicate");
    const ended = await process.interrupt();
    expect(ended.code).toBe(0);
    for (const type of TYPES) expect(ended.stdout.split(`    ${type}  `)).toHaveLength(3);
    expect(ended.stdout).toMatch(/✓ Toloka, genuine: signed [\d.]+ s ago/);
    expect(ended.stdout).toContain("26 received: genuine × 26");
  });

  test("receives every type of all providers that have a secret, and send names those that have none", async () => {
    const env = {
      TOLOKA_SECRET,
      STANDARD_WEBHOOKS_SECRET: "whsec_YSBrZXkgb2YgMjQgYnl0ZXMgb3Igc28h",
      CVAT_SECRET: "cvat-s3cret",
    };
    const { process, url } = await listening(["--save", "kept"], { env });
    const sent = await run(["send", "all", "--to", url], { env });
    expect(sent).toMatchObject({ code: 0, stderr: "" });
    const again = await run(["replay", "kept", "--resign", "--to", url, "--json"], { env });
    expect(again).toMatchObject({ code: 0, stderr: "" });
    expect(again.stdout).toMatch(
      /"statuses":\{"200":\d+\}.*"handled":0,"ignored":0,"duplicate":\d+,"failed":0/,
    );
    expect(sent.stdout).toContain("Left out: Prolific (PROLIFIC_SECRET is not set).");
    const late = await run(["send", "all", "--to", url, "--tamper", "time"], { env });
    expect(late).toMatchObject({ code: 0, stderr: "" });
    expect(late.stdout).toContain("CVAT (it signs no time)");
    expect(await run(["send", "update:task", "--to", url, "--duplicate", "--json"], { env })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"duplicate":1'),
    });
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("✓ CVAT, genuine");
    expect(stdout).toContain("✓ Standard Webhooks, genuine");
    expect(stdout).not.toContain("Prolific, ");
  });

  test.for(["signature", "body", "time"])("refuses a delivery with a spoilt %s", async (tamper) => {
    const { process, url } = await listening(["--json"]);
    const sent = await run(["send", "all", "--to", url, "--tamper", tamper, "--duplicate", "--json"]);
    expect(sent.code).toBe(0);
    const code = tamper === "time" ? "TIMESTAMP_OUT_OF_TOLERANCE" : "SIGNATURE_MISMATCH";
    expect(jsonOf(sent)).toMatchObject({
      sent: 26,
      unexpected: 0,
      statuses: { 401: 26 },
      codes: { [code]: 26 },
    });
    const [first, ...lines] = linesOf(await process.interrupt());
    const last = lines.pop();
    expect(first).toEqual({ listening: url });
    expect(lines).toHaveLength(26);
    for (const line of lines) expect(line).toMatchObject({ verified: false, code, status: 401 });
    expect(last).toEqual({ deliveries: 26, verdicts: { [code]: 26 } });
  });

  test("escapes control characters in what was sent", async () => {
    const { process, url } = await listening();
    const event = { ...tolokaEvent("POOL_CLOSED"), type: "\u001b[2Jgone", uuid: "\u202egnp" };
    await post(`${url}/a%1bb`, signToloka({ secret: TOLOKA_SECRET, events: [event] }));
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("\\u{1b}[2Jgone");
    for (const char of ["\u001b", "\u202e"]) expect(stdout).not.toContain(char);
  });

  test("tells which of several secrets signed", async () => {
    const { process, url } = await listening([], { env: { TOLOKA_SECRET: `old,${TOLOKA_SECRET}` } });
    await run(["send", "POOL_CLOSED", "--to", url]);
    expect((await process.interrupt()).stdout).toContain("genuine: signed with secret 2 of 2");
  });

  test("shows deliveries as not verified when there are no secrets", async () => {
    const { process, url } = await listening([], { env: {} });
    expect((await run(["send", "all", "--to", url])).code).toBe(0);
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("nothing is verified; TOLOKA_SECRET is not set");
    expect(stdout).toContain("? Prolific, not verified: there is no secret for it");
    expect(stdout).toContain("13 received: not verified × 13");
  });

  test("names the likely mistake and the field that does not fit", async () => {
    const { process, url } = await listening();
    const signed = (secret: string, body: string) => post(url, signToloka({ secret, body }));
    const body = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED", { close_reason: 5 })] });
    expect((await signed(`${TOLOKA_SECRET}\n`, body)).status).toBe(401);
    expect((await signed(PROLIFIC_SECRET, body)).status).toBe(401);
    expect((await signed(TOLOKA_SECRET, body)).status).toBe(200);
    expect((await signed(TOLOKA_SECRET, "[]")).status).toBe(400);
    expect((await signed(TOLOKA_SECRET, "[")).status).toBe(400);
    expect((await post(url, { headers: {}, body })).status).toBe(401);
    expect((await fetch(url)).status).toBe(405);
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("A delivery was signed with the secret and a line break after it");
    expect(stdout).toContain("A delivery was signed with another provider's secret");
    expect(stdout).toContain("close_reason: ");
    expect(stdout).toContain("✗ Toloka: ENVELOPE_INVALID");
    expect(stdout).toContain("✗ Toloka: BODY_NOT_JSON");
    expect(stdout).toContain("Toloka-Signature is missing");
    expect(stdout).toContain("neither its headers nor its body look like a delivery");
  });

  test("answers 413 to a body over 5 MiB", async () => {
    const { process, url } = await listening();
    const ofSize = (size: number) => {
      const event = JSON.stringify({ events: [tolokaEvent("POOL_CLOSED")] });
      return signToloka({ secret: TOLOKA_SECRET, body: event.padEnd(size) });
    };
    expect((await post(url, ofSize(5 * 1024 * 1024))).status).toBe(200);
    const refused = await post(url, ofSize(5 * 1024 * 1024 + 1));
    expect({ status: refused.status, reply: await refused.json() }).toMatchObject({
      status: 413,
      reply: { code: "BODY_TOO_LARGE" },
    });
    expect((await process.interrupt()).stdout).toContain("BODY_TOO_LARGE × 1");
  });

  test("answers a delivery in flight before it ends on Ctrl-C", async () => {
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    let answer = () => {};
    const app = await serve((_request, response) => {
      arrived();
      answer = () => response.end("late");
    });
    const { process, url } = await listening(["--forward", app]);
    const answered = post(url, signToloka({ secret: TOLOKA_SECRET, events: [] }));
    await arrival;
    const ended = process.interrupt();
    answer();
    expect(await (await answered).text()).toBe("late");
    expect(await ended).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1 received: genuine × 1"),
    });
  });
});

describe("listen --forward", () => {
  test("passes on the exact bytes and headers, and returns the answer", async () => {
    const seen: { url: string | undefined; headers: string[]; hash: string }[] = [];
    const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    const app = await serve(async (request, response) => {
      seen.push({ url: request.url, headers: request.rawHeaders, hash: hash(await buffer(request)) });
      response.writeHead(202, ["X-Its-Own", "1", "x-its-own", "2", "Content-Type", "application/x-own"]);
      response.end(Buffer.from([0, 255, 1]));
    });
    const { process, url } = await listening(["--forward", app, "--json"]);
    const body = ` {\r\n\t"events" : [ ${JSON.stringify(tolokaEvent("POOL_CLOSED", { pool_id: "Zürich 🎉\u2028" }))} ]  }\n\n`;
    const { headers } = signToloka({ secret: TOLOKA_SECRET, body });
    const request = http.request(`${url}/some/path?query=%20`, {
      method: "POST",
      headers: { ...headers, "X-Twice": ["a", "b"], Connection: "close, X-Hop", "X-Hop": "1" },
    });
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    expect(response.statusCode).toBe(202);
    expect(response.rawHeaders.slice(0, 6)).toEqual([
      "X-Its-Own",
      "1",
      "x-its-own",
      "2",
      "Content-Type",
      "application/x-own",
    ]);
    expect([...(await buffer(response))]).toEqual([0, 255, 1]);

    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ url: "/some/path?query=%20", hash: hash(Buffer.from(body)) });
    const raw = seen[0]?.headers ?? [];
    expect(raw.join("\n")).toContain(`toloka-signature\n${headers["toloka-signature"]}`);
    expect(raw.join("\n")).toContain("X-Twice\na\nX-Twice\nb");
    expect(raw.join("\n").toLowerCase()).not.toContain("x-hop");
    const [, line] = linesOf(await process.interrupt());
    expect(line).toMatchObject({ verified: true, status: 202, forwardedTo: `${app}/some/path?query=%20` });
  });

  test("answers 502 when nothing listens, and refuses to forward to itself", async () => {
    const gone = await unused();

    const { process, url } = await listening(["--forward", gone]);
    const answer = await post(url, signToloka({ secret: TOLOKA_SECRET, events: [] }));
    expect(answer.status).toBe(502);
    expect((await process.interrupt()).stdout).toContain("the connection was refused");

    const port = new URL(gone).port;
    const looped = await run(["listen", "--port", port, "--forward", `http://localhost:${port}/x`]);
    expect(looped).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--forward leads back to this port"),
    });
  });
});
