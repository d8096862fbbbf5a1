import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { CHECKS } from "@crowdhook/audit";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createApp } from "../examples/express/app.js";
import { BIN, type Ended, type Running, type RunOptions, start } from "./cli-process.js";

const TOLOKA_SECRET = "toloka-s3cret";
const PROLIFIC_SECRET = "prolific-s3cret";
const SECRETS = { TOLOKA_SECRET, PROLIFIC_SECRET };
const TYPES = [...toloka.eventTypes, ...prolific.eventTypes];

interface Vector {
  readonly name: string;
  readonly secret: string;
  readonly body: string;
  readonly header: string;
  readonly headers: Readonly<Record<string, string>>;
}
function vector(provider: string, name: string): Vector {
  const file = new URL(`vectors/${provider}.json`, import.meta.url);
  const { valid }: { valid: Vector[] } = JSON.parse(readFileSync(file, "utf8"));
  const found = valid.find((vector) => vector.name === name);
  if (!found) throw new Error(`There is no vector ${name}.`);
  return found;
}

const folder = mkdtempSync(join(tmpdir(), "crowdhook-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));
let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(folder, "test-"));
});

const running: Running[] = [];
const servers: http.Server[] = [];
const outputs: string[] = [];
afterEach(async () => {
  for (const process of running) {
    process.child.kill("SIGKILL");
    await process.ended;
    outputs.push(process.stdout, process.stderr);
  }
  running.length = 0;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  // Whatever a test is about.
  const printed = outputs.splice(0).join("\n");
  for (const secret of [TOLOKA_SECRET, PROLIFIC_SECRET, "api-k3y"]) expect(printed).not.toContain(secret);
});

function cli(args: readonly string[], options: RunOptions = {}): Running {
  const process = start(globalThis.process.execPath, [BIN, ...args], { cwd, env: SECRETS, ...options });
  running.push(process);
  return process;
}

const run = (args: readonly string[], options?: RunOptions): Promise<Ended> => cli(args, options).ended;

async function listening(args: readonly string[] = [], options?: RunOptions) {
  const process = cli(["listen", "--port", "0", ...args], options);
  const [, url = ""] = await process.printed(/(http:\/\/[\d.]+:\d+)/);
  return { process, url };
}

async function serve(handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const jsonOf = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout);
const linesOf = ({ stdout }: { readonly stdout: string }) =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

function post(
  url: string,
  { headers, body }: { headers: Readonly<Record<string, string>>; body: string | Uint8Array },
) {
  return fetch(url, { method: "POST", headers, body: Buffer.from(body) });
}

describe("send and listen", () => {
  test("every type of both providers is genuine, and a copy of it a duplicate", async () => {
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

  test.for(["signature", "body", "time"])("a spoilt %s is refused, as expected", async (tamper) => {
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

  test("an answer that is not as expected ends send with 1", async () => {
    const { url } = await listening([], { env: { TOLOKA_SECRET: "another" } });
    const refused = await run(["send", "POOL_CLOSED", "--to", url]);
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining("✗ POOL_CLOSED") });
    const open = await serve((_request, response) => response.end());
    expect((await run(["send", "POOL_CLOSED", "--to", open])).code).toBe(0);
    expect((await run(["send", "POOL_CLOSED", "--to", open, "--tamper", "body"])).code).toBe(1);
  });

  test("many events in one delivery, with fields of one's own", async () => {
    const { process, url } = await listening(["--json"]);
    const data = JSON.stringify({ type: "NEW\u001b[2J", uuid: "mine", pool_id: "pööl" });
    const args = [
      "send",
      "POOL_CLOSED",
      "--to",
      `${url}/any/path?a=b`,
      "--data",
      "-",
      "--batch",
      "3",
      "--json",
    ];
    expect(jsonOf(await run(args, { input: data })).outcomes).toMatchObject({
      unrecognized: 1,
      duplicate: 2,
    });
    const [, delivery] = linesOf(await process.interrupt());
    expect(delivery.path).toBe("/any/path?a=b");
    expect(delivery.events).toEqual(Array(3).fill({ type: "NEW\u001b[2J", id: "mine", problems: [] }));
  });

  test("what a stranger sends cannot write to the terminal", async () => {
    const { process, url } = await listening();
    const event = { ...tolokaEvent("POOL_CLOSED"), type: "\u001b[2Jgone", uuid: "\u202egnp" };
    await post(`${url}/a%1bb`, signToloka({ secret: TOLOKA_SECRET, events: [event] }));
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("\\u{1b}[2Jgone");
    for (const char of ["\u001b", "\u202e"]) expect(stdout).not.toContain(char);
  });

  test("several secrets: which one it was", async () => {
    const { process, url } = await listening([], { env: { TOLOKA_SECRET: `old,${TOLOKA_SECRET}` } });
    await run(["send", "POOL_CLOSED", "--to", url]);
    expect((await process.interrupt()).stdout).toContain("genuine: signed with secret 2 of 2");
  });

  test("without secrets it shows what it sees, and that nothing was verified", async () => {
    const { process, url } = await listening([], { env: {} });
    expect((await run(["send", "all", "--to", url])).code).toBe(0);
    const { stdout } = await process.interrupt();
    expect(stdout).toContain("nothing is verified; TOLOKA_SECRET is not set");
    expect(stdout).toContain("? Prolific, not verified: there is no secret for it");
    expect(stdout).toContain("13 received: not verified × 13");
  });

  test("names the likely mistake, and the field that does not fit", async () => {
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
    expect(stdout).toContain("the secret has white space around it");
    expect(stdout).toContain("it is signed with the other provider's secret");
    expect(stdout).toContain("close_reason: ");
    expect(stdout).toContain("✗ Toloka: ENVELOPE_INVALID");
    expect(stdout).toContain("✗ Toloka: BODY_NOT_JSON");
    expect(stdout).toContain("the header Toloka-Signature is missing");
    expect(stdout).toContain("neither its headers nor its body look like a delivery");
  });

  test("a body over 5 MiB gets 413, one of 5 MiB does not", async () => {
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

  test("ends on Ctrl-C only when what it was passing on is answered", async () => {
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

describe("send at speed", () => {
  test("1,000 deliveries to an app, counted, at a rate that was asked for or its own", async () => {
    const { app } = createApp(TOLOKA_SECRET, { log: () => {} });
    const url = `${await serve(app)}/toloka-webhook`;
    const sent = await run(["send", "ASSIGNMENT_SUBMITTED", "--to", url, "--count", "1000", "--json"]);
    expect(sent.code).toBe(0);
    const result = jsonOf(sent);
    expect(result).toMatchObject({
      sent: 1000,
      statuses: { 200: 1000 },
      outcomes: { handled: 1000, duplicate: 0 },
    });
    const { p50, p90, p99, max } = result.milliseconds;
    expect([p50, p90, p99, max]).toEqual([p50, p90, p99, max].sort((a, b) => a - b));
    expect(p50).toBeGreaterThan(0);

    const slowly = await run([
      "send",
      "TEST_EVENT",
      "--to",
      url,
      "--count",
      "11",
      "--rate",
      "20/s",
      "--json",
    ]);
    // Ten spaces of 50 ms; a timer of Node's may be a little early.
    expect(jsonOf(slowly).seconds).toBeGreaterThan(0.48);
  });
});

describe("listen --forward", () => {
  test("passes on the exact bytes and headers, and the answer back", async () => {
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

  test("answers 502 where nothing listens, and refuses to forward to itself", async () => {
    const gone = await serve(() => {});
    servers.pop()?.close();
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

describe("stored deliveries", () => {
  test("are sent again with their bytes and headers, in their order, and signed anew if asked for", async () => {
    const { process, url } = await listening(["--save", "kept", "--tolerance", "1e6"]);
    const old = Date.now() - 3_600_000;
    const bodies = ['{ "events" : [] }\n', '{"events":[{"ö":"é\\u2028\u2028"}]}'];
    for (const body of bodies)
      await post(`${url}/toloka-webhook`, signToloka({ secret: TOLOKA_SECRET, body, timestamp: old }));
    const event = prolificEvent("study.status.change");
    await post(
      `${url}/prolific-webhook`,
      signProlific({ secret: PROLIFIC_SECRET, event, timestamp: old, id: "kept-id" }),
    );
    // Not UTF-8, and not JSON.
    await post(`${url}/bytes?x`, {
      headers: { "toloka-signature": "{}" },
      body: new Uint8Array([0xff, 0, 10]),
    });
    await process.interrupt();
    const files = readdirSync(join(cwd, "kept"));
    expect(files).toHaveLength(4);
    const stored = files.map((file) => JSON.parse(readFileSync(join(cwd, "kept", file), "utf8")));
    expect(stored.map(({ version, encoding, path }) => [version, encoding, path])).toEqual([
      [1, "utf-8", "/toloka-webhook"],
      [1, "utf-8", "/toloka-webhook"],
      [1, "utf-8", "/prolific-webhook"],
      [1, "base64", "/bytes?x"],
    ]);

    const seen: { url: string | undefined; signature: unknown; body: Buffer }[] = [];
    const app = await serve(async (request, response) => {
      const { headers, url } = request;
      seen.push({ url, signature: headers["toloka-signature"], body: await buffer(request) });
      response.end();
    });
    // The order of the arguments does not count.
    const [first, ...others] = files.map((file) => `kept/${file}`);
    const replayed = await run(["replay", ...others, first as string, "--to", app]);
    expect(replayed.code).toBe(0);
    expect(seen.map(({ url }) => url)).toEqual([
      "/toloka-webhook",
      "/toloka-webhook",
      "/prolific-webhook",
      "/bytes?x",
    ]);
    expect(seen.slice(0, 2).map(({ body }) => body.toString())).toEqual(bodies);
    expect([...(seen[3]?.body ?? [])]).toEqual([0xff, 0, 10]);
    expect(seen[0]?.signature).toContain(`ts=${old}`);

    rmSync(join(cwd, "kept", files[3] ?? ""));
    const receiver = await listening(["--json"]);
    const tooOld = await run(["replay", "kept", "--to", receiver.url]);
    expect(tooOld.code).toBe(1);
    expect(tooOld.stdout).toContain("TIMESTAMP_OUT_OF_TOLERANCE");
    expect(tooOld.stdout).toContain("--resign signs them with the current time");
    const resigned = await run(["replay", "kept", "--to", receiver.url, "--resign", "--json"]);
    expect(resigned.code).toBe(0);
    expect(jsonOf(resigned)).toMatchObject({ sent: 3, statuses: { 200: 3 } });
    const lines = linesOf(await receiver.process.interrupt());
    expect(lines.at(-2)).toMatchObject({ verified: true, provider: "prolific", events: [{ id: "kept-id" }] });
  });

  test("that are none are told apart from what cannot be reached", async () => {
    writeFileSync(join(cwd, "no.json"), "{}");
    const to = ["--to", "http://127.0.0.1:1"];
    expect(await run(["replay", "no.json", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("not a stored delivery"),
    });
    expect(await run(["replay", "gone.json", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("there is no such file"),
    });
    mkdirSync(join(cwd, "empty"));
    expect(await run(["replay", "empty", ...to])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no stored deliveries"),
    });
  });
});

describe("verify", () => {
  const NOW = Date.now();
  const body = `{"events": [${JSON.stringify(tolokaEvent("POOL_CLOSED", { pool_id: "Zürich" }))}]}`;
  const tolokaHeader = (options: { secret?: string; body?: string; timestamp?: number } = {}) => {
    const signed = signToloka({ secret: TOLOKA_SECRET, body, timestamp: NOW, ...options });
    return `Toloka-Signature: ${signed.headers["toloka-signature"]}`;
  };
  const ofProlific = signProlific({ secret: PROLIFIC_SECRET, event: prolificEvent("study.status.change") });
  const prolificHeaders = Object.entries(ofProlific.headers).flatMap(([name, value]) => [
    "--header",
    `${name}: ${value}`,
  ]);

  const verify = (
    args: readonly string[],
    input: string | Uint8Array,
    env: Record<string, string> = SECRETS,
  ) => run(["verify", "--body", "-", ...args], { input, env });

  test.for([
    ["toloka", "documentation-example"],
    ["toloka", "short-signature-60-digits"],
    ["prolific", "non-ascii"],
  ] as const)("accepts the genuine vector %s %s", async ([provider, name]) => {
    const { secret, body, header, headers = { "Toloka-Signature": header } } = vector(provider, name);
    const given = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
    const { code, stdout } = await verify(given, body, { [`${provider.toUpperCase()}_SECRET`]: secret });
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("✓ The signature fits."),
    });
    // Says so all the same.
    expect(stdout).toContain("it would be refused");
  });

  const mistakes: readonly (readonly [
    cause: string,
    args: string[],
    input: string,
    env?: Record<string, string>,
  ])[] = [
    ["header-missing", [], body],
    ["header-missing", ["--provider", "prolific", ...prolificHeaders.slice(0, -2)], ofProlific.body],
    ["header-cut-off", ["--header", tolokaHeader().slice(0, -20)], body],
    ["header-cut-off", ["--header", tolokaHeader().replace(/.{10}\}$/, "}")], body],
    ["header-cut-off", ["--header", `${tolokaHeader().replace(": ", ': "')}"`], body],
    ["wrong-provider", ["--provider", "toloka", ...prolificHeaders], ofProlific.body],
    ["wrong-provider", ["--provider", "prolific", "--header", tolokaHeader()], body],
    ["time-unit", ["--header", tolokaHeader({ timestamp: Math.floor(NOW / 1000) })], body],
    ["secret-white-space", ["--header", tolokaHeader()], body, { TOLOKA_SECRET: `${TOLOKA_SECRET}\n` }],
    ["secret-white-space", ["--header", tolokaHeader({ secret: ` ${TOLOKA_SECRET}` })], body],
    ["secret-quotes", ["--header", tolokaHeader()], body, { TOLOKA_SECRET: `"${TOLOKA_SECRET}"` }],
    ["secret-other", ["--header", tolokaHeader({ secret: PROLIFIC_SECRET })], body],
    ["body-line-break-added", ["--header", tolokaHeader()], `${body}\n`],
    ["body-line-break-added", prolificHeaders, `${ofProlific.body}\r\n`],
    ["body-end-lost", ["--header", tolokaHeader({ body: `${body}\n` })], body],
    ["body-white-space", ["--header", tolokaHeader()], `\ufeff${body}`],
    [
      "body-line-ends",
      ["--header", tolokaHeader({ body: body.replace(": ", ":\r\n") })],
      body.replace(": ", ":\n"),
    ],
    ["body-serialized-anew", ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)) })], body],
    [
      "body-serialized-anew",
      ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)).replace("ü", "\\u00fc") })],
      body,
    ],
    [
      "body-serialized-anew",
      ["--header", tolokaHeader({ body: JSON.stringify(JSON.parse(body)) })],
      JSON.stringify(JSON.parse(body), undefined, 2),
    ],
  ];

  test.for(mistakes)("names %s, and only that", async ([cause, args, input, env]) => {
    const { code, stdout } = await verify([...args, "--json"], input, env);
    expect(code).toBe(1);
    const { causes } = JSON.parse(stdout) as { causes: { name: string; found?: boolean }[] };
    const found = causes.filter(({ found }) => found).map(({ name }) => name);
    expect(found).toEqual([cause]);
  });

  test("says of each mistake whether it was found, and when none was", async () => {
    const found = await verify(["--header", tolokaHeader()], `${body}\n`);
    expect(found.stdout).toMatch(/^found {8}the body ends with a line break that was not signed/m);
    expect(found.stdout).toMatch(/^not found {4}the secret has white space/m);
    const changed = await verify(["--header", tolokaHeader()], body.replace("pool", "p00l"));
    expect(changed).toMatchObject({ code: 1, stdout: expect.stringContaining("None of these.") });
    const cut = await verify(["--header", tolokaHeader().slice(0, -1)], body);
    expect(cut.stdout).toMatch(/^not checked {2}the secret has quotes/m);
  });

  test("fails for age only if asked to", async () => {
    const args = ["--header", tolokaHeader({ timestamp: NOW - 3_600_000 })];
    expect((await verify(args, body)).code).toBe(0);
    expect(await verify([...args, "--tolerance", "300"], body)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("TIMESTAMP_OUT_OF_TOLERANCE"),
    });
  });

  test("takes a stored delivery, and its age when it was received", async () => {
    const { process, url } = await listening(["--save", "."]);
    await run(["send", "POOL_CLOSED", "--to", url]);
    await process.interrupt();
    const [file = ""] = readdirSync(cwd);
    const good = await run(["verify", file]);
    expect(good).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/signed [\d.]+ s before it was received/),
    });
    expect((await run(["verify", file], { env: { TOLOKA_SECRET: "other" } })).code).toBe(1);
    expect((await run(["verify", file, "--body", "x"])).code).toBe(2);
  });
});

describe("subscriptions", () => {
  /** As much of Toloka's REST API as is needed here. */
  async function account() {
    const subscriptions = new Map<string, { id: string }>();
    const calls: string[] = [];
    const url = await serve(async (request, response) => {
      const { method, headers } = request;
      calls.push(`${method} ${headers.authorization}`);
      const id = request.url?.split("/")[2] ?? "";
      const answer = (status: number, body?: unknown) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(body === undefined ? "" : JSON.stringify(body));
      };
      if (method === "GET") return answer(200, { items: [...subscriptions.values()], has_more: false });
      if (method === "DELETE") return subscriptions.delete(id) ? answer(204) : answer(404, {});
      if (method === "POST") return answer(200, { success: id === "s1", errorType: "WRONG_STATUS_CODE" });
      const forms = JSON.parse(await text(request)) as { secret_key?: string }[];
      const made = forms.map(({ secret_key, ...form }) => {
        calls.push(`secret ${secret_key}`);
        const subscription = { id: `s${subscriptions.size + 1}`, created: "2026-01-01T00:00:00", ...form };
        subscriptions.set(subscription.id, subscription);
        return subscription;
      });
      answer(200, { items: Object.fromEntries(made.entries()), validation_errors: {} });
    });
    const ask = (...args: string[]) =>
      run(["subscriptions", ...args, "--base-url", url], {
        env: { TOLOKA_API_KEY: "api-k3y", TOLOKA_SECRET },
      });
    return { url, calls, ask };
  }

  test("created, listed, tested, brought in line and deleted", async () => {
    const { calls, ask } = await account();
    const target = ["--url", "https://example.com/hook", "--pool", "1"];
    expect(await ask("create", ...target, "--event", "POOL_CLOSED")).toMatchObject({
      code: 0,
      stdout: "✓ s1  POOL_CLOSED  pool 1  https://example.com/hook\n",
    });
    expect(calls).toEqual(["PUT ApiKey api-k3y", `secret ${TOLOKA_SECRET}`]);
    expect((await ask("list")).stdout).toBe("s1  POOL_CLOSED  pool 1  https://example.com/hook\n");
    expect(jsonOf(await ask("list", "--json"))).toMatchObject([{ id: "s1" }]);
    expect((await ask("test", "s1")).code).toBe(0);
    expect(await ask("test", "s2")).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("WRONG_STATUS_CODE"),
    });

    const wanted = [...target, "--event", "ASSIGNMENT_SUBMITTED"];
    expect(await ask("sync", ...wanted)).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
    const dry = jsonOf(await ask("sync", ...wanted, "--dry-run", "--json"));
    expect(dry).toMatchObject({ changed: false, create: [{}], keep: [], extra: [{ id: "s1" }] });
    expect((await ask("sync", ...wanted, "--yes")).code).toBe(0);
    expect(jsonOf(await ask("list", "--json"))).toHaveLength(2);
    expect(jsonOf(await ask("sync", ...wanted, "--yes", "--delete-extra", "--json")).changed).toBe(true);
    expect(jsonOf(await ask("list", "--json"))).toMatchObject([{ event_type: "ASSIGNMENT_SUBMITTED" }]);
    expect((await ask("delete", "s2")).code).toBe(0);
    expect(await ask("delete", "s2")).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("no such subscription"),
    });
  });

  test("mistakes are told before anything is sent", async () => {
    const { calls, ask } = await account();
    const url = ["--url", "https://example.com/hook"];
    const wrong: readonly (readonly [said: string, args: string[]])[] = [
      ["pass --pool", ["create", ...url, "--event", "POOL_CLOSED"]],
      ["Did you mean POOL_CLOSED?", ["create", ...url, "--event", "POOL_CLOSE", "--pool", "1"]],
      ["PROLIFIC_WORKSPACE_ID", ["list", "--provider", "prolific"]],
      [
        "Whose subscriptions?",
        ["create", ...url, "--event", "POOL_CLOSED", "--event", "study.status.change"],
      ],
    ];
    for (const [said, args] of wrong) {
      expect(await ask(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(said) });
    }
    expect(calls).toEqual([]);
  });
});

describe("mistakes and manners", () => {
  test.for<[said: string, code: number, args: string[]]>([
    ["unknown command 'sned'\n(Did you mean send?)", 2, ["sned"]],
    ["required option '--to <url>'", 2, ["send", "POOL_CLOSED"]],
    ["Did you mean POOL_CLOSED?", 2, ["send", "pool_closd", "--to", "http://127.0.0.1:1"]],
    ["study.progress.change", 2, ["send", "nothing-like-it", "--to", "http://127.0.0.1:1"]],
    ["must begin with http://", 2, ["send", "POOL_CLOSED", "--to", "localhost:3000"]],
    ["must not hold a user name", 2, ["send", "POOL_CLOSED", "--to", "http://a:b@localhost"]],
    ["a whole number from 1", 2, ["send", "POOL_CLOSED", "--to", "http://127.0.0.1:1", "--count", "0"]],
    [
      "--batch is for Toloka",
      2,
      ["send", "study.progress.change", "--to", "http://127.0.0.1:1", "--batch", "2"],
    ],
    ["must be a JSON object", 2, ["send", "POOL_CLOSED", "--to", "http://127.0.0.1:1", "--data", "-"]],
    ["the connection was refused", 1, ["send", "all", "--to", "http://127.0.0.1:1"]],
    [
      "the connection was refused",
      1,
      ["send", "all", "--to", "http://127.0.0.1:1", "--count", "10000", "--json"],
    ],
    ['--header is "Name: value"', 2, ["verify", "--header", "{v=1}", "--body", "-"]],
    ["whose delivery this is", 2, ["verify", "--body", "-"]],
    ["Pass a stored delivery", 2, ["verify"]],
  ])("%s: %i", async ([said, code, args]) => {
    const ended = await run(args);
    expect(ended).toMatchObject({ code, stderr: expect.stringContaining(said) });
    // No stack.
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  test("a port that is in use, and secrets that are missing or cannot be one", async () => {
    const port = new URL(await serve(() => {})).port;
    expect(await run(["listen", "--port", port])).toMatchObject({
      code: 1,
      stderr: `error: Port ${port} is in use: end what listens there, or take another one with --port.\n`,
    });
    const missing = await run(["send", "POOL_CLOSED", "--to", "http://127.0.0.1:1"], { env: {} });
    expect(missing).toMatchObject({
      code: 2,
      stderr: "error: Toloka's secret is missing: set TOLOKA_SECRET.\n",
    });
    const broken = await run(["listen"], { env: { TOLOKA_SECRET: `${TOLOKA_SECRET}\n` } });
    expect(broken).toMatchObject({ code: 2, stderr: expect.stringContaining("white space") });
  });

  test("colours where they are wanted", async () => {
    const open = await serve((_request, response) => response.end());
    const args = ["send", "POOL_CLOSED", "--to", open];
    const coloured = async (env: Record<string, string>) =>
      (await run(args, { env: { ...SECRETS, ...env } })).stdout.includes("\u001b[");
    // Not on a build server either: this is no terminal.
    expect(await coloured({ CI: "true" })).toBe(false);
    expect(await coloured({ FORCE_COLOR: "1" })).toBe(true);
    expect(await coloured({ FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
  });

  test("--version is the package's", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../packages/cli/package.json", import.meta.url), "utf8"),
    );
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

describe("audit", () => {
  // The app logs what it refuses.
  beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
  afterEach(() => void vi.restoreAllMocks());

  /** An app that says what it has handled, or accepts what is not signed. */
  async function app({ isBroken = false } = {}): Promise<string> {
    const handled: string[] = [];
    const { app } = createApp(TOLOKA_SECRET, { prolificSecret: PROLIFIC_SECRET, log: () => {} });
    const receivers = [
      tolokaWebhook([TOLOKA_SECRET, "toloka-0ther"], { path: "/hooks/toloka" }),
      prolificWebhook(PROLIFIC_SECRET, { path: "/hooks/prolific" }),
    ];
    for (const receiver of receivers) receiver.onAny(({ id }) => handled.push(id));
    return serve((request, response) => {
      if (request.url === "/handled") return void response.end(JSON.stringify({ handled }));
      if (isBroken && !request.headers["toloka-signature"]) return void response.end("\u001b[2Jwelcome");
      const hook = receivers[["/hooks/toloka", "/hooks/prolific"].indexOf(request.url ?? "")];
      if (hook) void hook(request, response);
      else app(request, response);
    });
  }

  test.for(["toloka", "prolific"] as const)(
    "of a good endpoint of %s ends with 0",
    { timeout: 60_000 },
    async (provider) => {
      const url = await app();
      const env = { ...SECRETS, TOLOKA_SECRET: `${TOLOKA_SECRET},toloka-0ther` };
      const audited = await run(["audit", `${url}/hooks/${provider}`, "--report", `${url}/handled`], { env });
      expect(audited.stderr).toBe("");
      expect(audited.stdout.split("\n").filter((line) => /^ {2}[✗–]/.test(line))).toEqual(
        // There is one secret of Prolific's.
        provider === "toloka" ? [] : ["  – signature-second-secret      skipped: there is one secret only"],
      );
      for (const { id, providers } of CHECKS)
        expect(audited.stdout.includes(` ${id} `)).toBe(providers.includes(provider));
      expect(audited.stdout).toMatch(/\n✓ Safe: every MUST passed\. \d+ checks in [\d.]+ s\.\n$/);
      expect(audited.code).toBe(0);
    },
  );

  test("without a report route says that it is not proven, and ends with 0", {
    timeout: 60_000,
  }, async () => {
    const audited = await run(["audit", await app(), "--provider", "toloka"]);
    expect(audited.stdout).toContain("– once-concurrent              skipped: there is no report route\n");
    expect(audited.stdout).toMatch(
      /\n– Not proven: no MUST failed, but some take a report route: --report\. /,
    );
    expect(audited.code).toBe(0);
  });

  test("of a broken endpoint ends with 1, and says what is wrong and why", async () => {
    const only = ["--only", "signature-missing", "--only", "signature-good", "--only", "time-old"];
    const audited = await run(["audit", `${await app({ isBroken: true })}/hooks/toloka`, ...only]);
    expect(audited).toMatchObject({ code: 1, stderr: "" });
    expect(audited.stdout).toContain(`signature
  ✓ signature-good               A delivery that is signed as documented is accepted.
  ✗ signature-missing            MUST: A delivery that is not signed is refused.
      why       Otherwise anyone without the secret can have an event handled.
      expected  a refusal, not 2xx
      seen      200, \uFFFD[2Jwelcome

time
  ✓ time-old `);
    expect(audited.stdout).toMatch(
      / {2}MUST {4}1 passed, 1 failed\n {2}SHOULD {2}1 passed\n {2}MAY {5}0 passed\n✗ Unsafe: a MUST failed\. /,
    );
  });

  test("writes the report for machines", async () => {
    const url = `${await app({ isBroken: true })}/hooks/toloka`;
    const only = ["--only", "signature-missing", "--only", "signature-good"];
    const files = ["--junit", "junit.xml", "--badge", "badge.svg"];
    const audited = await run(["audit", url, ...only, ...files, "--json"]);
    expect(audited).toMatchObject({ code: 1, stderr: "" });
    expect(jsonOf(audited)).toMatchObject({
      provider: "toloka",
      url,
      verdict: "unsafe",
      results: [
        { id: "signature-good", status: "passed" },
        { id: "signature-missing", status: "failed", seen: "200, \uFFFD[2Jwelcome" },
      ],
    });
    expect(readFileSync(join(cwd, "junit.xml"), "utf8")).toMatch(/^<\?xml .*<failure .*<\/testsuites>$/s);
    expect(readFileSync(join(cwd, "badge.svg"), "utf8")).toMatch(/^<svg .*unsafe: 1 of 2 failed.*<\/svg>$/s);
    expect(await run(["audit", url, ...only, "--junit", "missing/junit.xml"])).toMatchObject({
      code: 2,
      stderr: "error: --junit: missing/junit.xml cannot be written: ENOENT.\n",
    });
  });

  test("says in a sentence that there is nothing to audit", async () => {
    expect(await run(["audit", "http://127.0.0.1:1/toloka"])).toMatchObject({
      code: 1,
      stderr:
        "error: Nothing listens at 127.0.0.1:1: the connection was refused. Is the app running, and is the port right?\n",
    });
    const url = await app();
    const env = { TOLOKA_SECRET: "not-th1s" };
    const other = await run(["audit", `${url}/hooks/toloka`], { env });
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: A good delivery, .* is not accepted: 401, .* another secret/),
    });
    expect(other.stdout).not.toContain("✗");
    expect(await run(["audit", `${url}/hooks/toloka`, "--report", `${url}/echo`])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("The report route does not show that a good delivery was handled"),
    });
  });

  test("--list shows the checks", async () => {
    const listed = await run(["audit", "--list", "--provider", "prolific"]);
    const ids = CHECKS.filter(({ providers }) => providers.includes("prolific")).map(({ id }) => id);
    expect(
      listed.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(ids);
    expect(listed.stdout).toMatch(/^signature-boundary +MUST +prolific Digits /m);
    expect(jsonOf(await run(["audit", "--list", "--json"]))).toEqual(CHECKS);
  });

  test.for<[string, ...string[]]>([
    ["Pass the URL of the endpoint, or --list."],
    ["The URL must begin with http://", "127.0.0.1:3000"],
    ["--report must begin with http://", "http://127.0.0.1:1/toloka", "--report", "/handled"],
    ["whose webhooks it receives: pass --provider", "http://127.0.0.1:1/hook"],
    ["whose webhooks it receives: pass --provider", "http://127.0.0.1:1/toloka-and-prolific"],
    [
      'no check "signature-mising" for Toloka. Did you mean signature-missing?',
      "http://127.0.0.1:1/toloka",
      "--only",
      "signature-mising",
    ],
    ['no check "once-other-id" for Toloka', "http://127.0.0.1:1/toloka", "--only", "once-other-id"],
    ["--timeout must be at most 60 seconds", "http://127.0.0.1:1/toloka", "--timeout", "61"],
  ])("a mistake: %s", async ([said, ...args]) => {
    expect(await run(["audit", ...args])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining(said),
    });
  });

  test("takes the provider whose secret there is, where the URL does not say", async () => {
    const ended = await run(["audit", "http://127.0.0.1:1/hook"], { env: { PROLIFIC_SECRET } });
    expect(ended).toMatchObject({ code: 1, stdout: expect.stringContaining("Prolific at ") });
  });
});

describe("the example in the help of", () => {
  test.for([
    "",
    "send",
    "listen",
    "replay",
    "verify",
    "audit",
    "subscriptions",
    ...["list", "create", "test", "delete", "sync"].map((name) => `subscriptions ${name}`),
  ])("crowdhook %s runs", async (command) => {
    const { stdout } = await run([...command.split(" ").filter(Boolean), "--help"]);
    const examples = [...stdout.matchAll(/^ {2}\$ (.*(?:\n {6}.*)*)/gm)].map(([, example = ""]) => example);
    expect(examples).not.toEqual([]);
    expect(stdout).toContain("Exit status: ");

    // The app logs what it refuses.
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(console, "error").mockImplementation(() => {});
    // What the examples have around them: an app, a body, stored deliveries, an account.
    const { secret, body, header } = vector("toloka", "documentation-example");
    const env = {
      TOLOKA_SECRET: secret,
      PROLIFIC_SECRET,
      TOLOKA_API_KEY: "api-k3y",
      PATH: `${cwd}:${process.env.PATH}`,
    };
    symlinkSync(BIN, join(cwd, "crowdhook"));
    writeFileSync(join(cwd, "body.json"), body);
    mkdirSync(join(cwd, "deliveries"));
    const stored = {
      version: 1,
      receivedAt: "2026-01-01T12:00:00.000Z",
      method: "POST",
      path: "/toloka-webhook",
      headers: [`Toloka-Signature: ${header}`],
      encoding: "utf-8",
      body,
    };
    writeFileSync(join(cwd, "deliveries/2026-01-01T12-00-00.000Z-0001.json"), JSON.stringify(stored));
    const { app } = createApp(secret, { prolificSecret: PROLIFIC_SECRET, log: () => {} });
    const url = await serve(app);
    const api = await serve((request, response) => {
      const success = JSON.stringify({
        success: true,
        items: {
          0: { id: "8f3c", created: "2026-01-01T00:00:00", webhook_url: "u", event_type: "t", pool_id: "1" },
        },
      });
      const list = JSON.stringify({ items: [], has_more: false });
      response.writeHead(request.method === "DELETE" ? 204 : 200, { "content-type": "application/json" });
      response.end(request.method === "DELETE" ? "" : request.method === "GET" ? list : success);
    });

    for (const example of examples) {
      const line = example
        .replace("http://127.0.0.1:3000", url)
        .replace(/listen.*/, (args) => `${args} --port 0`)
        .replace(/subscriptions \w+/, (name) => `${name} --base-url ${api}`)
        // The line is too long for the help.
        .replace(/\n\s+/, " ");
      const example_ = start("sh", ["-c", `exec ${line}`], { cwd, env });
      running.push(example_);
      if (line.includes(" listen")) {
        await example_.printed(/Listening on/);
        example_.child.kill("SIGINT");
      }
      expect(await example_.ended).toMatchObject({ code: 0, stderr: "" });
    }
  });
});
