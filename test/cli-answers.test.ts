import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  jsonOf,
  linesOf,
  PROLIFIC_SECRET,
  SECRETS,
  TOLOKA_SECRET,
  useCli,
  webhookApp,
} from "./cli-fixture.js";

const { listening, path, run, serve } = useCli();

const answering =
  (status: number, body: string | Uint8Array, headers: http.OutgoingHttpHeaders = {}): http.RequestListener =>
  (request, response) => {
    request.resume().on("end", () => response.writeHead(status, headers).end(body));
  };

/** A file as `listen --save` writes it. */
function store(
  name: string,
  delivery: { headers: Readonly<Record<string, string>>; body: string | Uint8Array },
) {
  mkdirSync(path("kept"), { recursive: true });
  const stored = {
    version: 1,
    receivedAt: "2026-01-01T12:00:00.000Z",
    method: "POST",
    path: "/toloka-webhook",
    headers: Object.entries(delivery.headers).map((line) => line.join(": ")),
    encoding: typeof delivery.body === "string" ? "utf-8" : "base64",
    body: typeof delivery.body === "string" ? delivery.body : Buffer.from(delivery.body).toString("base64"),
  };
  writeFileSync(path(`kept/${name}.json`), JSON.stringify(stored));
}

describe("send and replay show the first lines of an answer", () => {
  test.for<[what: string, listener: http.RequestListener, shown: readonly string[]]>([
    [
      "of text",
      answering(500, "boom\n\n  at here\r\nat there\n"),
      ["    boom", "      at here", "    at there"],
    ],
    ["that is accepted", answering(200, "thanks"), ["    thanks"]],
    ["of six lines", answering(500, "1\n2\n3\n4\n5\n6"), ["    5", "    … and 1 more lines"]],
    [
      "that is an error page, as text",
      answering(
        500,
        "<html><head><title>Error</title></head><body><pre>Cannot &lt;POST&gt;<br>x</pre></body>",
        {
          "content-type": "text/html; charset=utf-8",
        },
      ),
      ["    Cannot <POST>", "    x"],
    ],
    ["in escaped form", answering(500, "\u001b[2J\u202e"), ["    \\u{1b}[2J\\u{202e}"]],
    [
      "that are no text as a size",
      answering(500, new Uint8Array([255, 0])),
      ["    (2 bytes that are no text)"],
    ],
    [
      "that is encoded as a size",
      answering(500, "abc", { "content-encoding": "gzip" }),
      ["    (3 bytes, encoded as gzip)"],
    ],
    ["cut off", answering(500, "x".repeat(1_000)), [`    ${"x".repeat(200)}…`]],
    [
      "and where it redirects",
      answering(301, "", { location: "/else" }),
      [/301 {2}redirects to \/else/ as never],
    ],
  ])("%s", async ([, listener, shown]) => {
    const url = await serve(listener);
    store("1", signToloka({ secret: TOLOKA_SECRET, events: [] }));
    for (const args of [
      ["send", "POOL_CLOSED"],
      ["replay", "kept"],
    ]) {
      const { stdout } = await run([...args, "--to", url]);
      for (const line of shown) {
        if (typeof line === "string") expect(stdout.split("\n")).toContain(line);
        else expect(stdout).toMatch(line);
      }
    }
  });

  test("but not of a reply that the line above has said", async () => {
    const { url } = await listening();
    expect((await run(["send", "POOL_CLOSED", "--to", url])).stdout).not.toContain("{");
    expect((await run(["send", "POOL_CLOSED", "--to", url, "--tamper", "time"])).stdout).not.toContain("{");
  });

  test("once for thousands of answers, and in JSON", async () => {
    const url = await serve(answering(500, "boom"));
    const { stdout } = await run(["send", "POOL_CLOSED", "--to", url, "--count", "50"]);
    expect(stdout).toContain("  The first answer that is not as expected: 500\n    boom\n");
    expect(jsonOf(await run(["send", "POOL_CLOSED", "--to", url, "--json"]))).toMatchObject({
      firstUnexpected: { status: 500, lines: ["boom"] },
    });
  });
});

describe("send says of a refusal whether the secret is the cause", () => {
  const refusing = (code: string, headers: http.OutgoingHttpHeaders = {}) =>
    serve(answering(401, JSON.stringify({ code }), headers));
  const send = (to: string, ...args: string[]) => run(["send", "POOL_CLOSED", "--to", to, ...args]);

  test("when the receiver has another one", async () => {
    const { url } = await listening([], { env: { TOLOKA_SECRET: "another" } });
    const { code, stdout } = await send(url);
    expect(code).toBe(1);
    expect(stdout).toContain(
      "Toloka: the receiver probably has another secret than the one in TOLOKA_SECRET.",
    );
    expect((await send(url, "--secret", "x")).stdout).toContain("than the one in --secret.");
    const two = await run(["send", "POOL_CLOSED", "--to", url], {
      env: { TOLOKA_SECRET: `${TOLOKA_SECRET},b` },
    });
    expect(two.stdout).toContain("than the first one in TOLOKA_SECRET.");
    expect(jsonOf(await send(url, "--json")).hint).toContain("probably has another secret");
  });

  test("when the clocks differ, the secret is right", async () => {
    const app = webhookApp(TOLOKA_SECRET, { clock: () => Date.now() - 7_200_000 });
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { stdout } = await send(await serve(app));
    expect(stdout).toContain("Toloka: the receiver has the right secret.");
    const date = new Date(Date.now() - 7_200_000).toUTCString();
    const behind = await send(await refusing("TIMESTAMP_OUT_OF_TOLERANCE", { date }));
    expect(behind.stdout).toContain("Its clock is 2 hours behind this one.");
  });

  test("when the header is missing or malformed, or a login is asked for, the secret is not the cause", async () => {
    for (const code of ["SIGNATURE_MISSING", "SIGNATURE_MALFORMED"])
      expect((await send(await refusing(code))).stdout).toContain("says nothing about the secret");
    const login = await refusing("", { "www-authenticate": 'Basic realm="\u009b"' });
    expect((await send(login)).stdout).toContain("asks for a login (WWW-Authenticate: Basic");
  });

  test("when the answer gives no reason", async () => {
    const { stdout } = await send(await serve(answering(401, "no")));
    expect(stdout).toContain("The receiver probably has another secret than the one in TOLOKA_SECRET.");
  });

  test("but says nothing when 401 is expected, and names the path of a 404", async () => {
    const { url } = await listening();
    expect((await send(url, "--tamper", "body")).stdout).not.toContain("secret");
    const missing = await send(await serve(answering(404, "")));
    expect(missing.stdout).toContain("Toloka: no webhook answers at /toloka-webhook.");
  });
});

describe("--to", () => {
  test("gets the scheme, and the provider's path if it has none", async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      seen.push(request.url);
      response.end();
    });
    const { port } = new URL(url);
    for (const to of [`127.0.0.1:${port}`, `localhost:${port}`, `:${port}`, port, `localhost:${port}/own?x`])
      expect(await run(["send", "POOL_CLOSED", "--to", to])).toMatchObject({ code: 0, stderr: "" });
    await run(["send", "study.status.change", "--to", port]);
    expect(seen).toEqual([...Array(4).fill("/toloka-webhook"), "/own?x", "/prolific-webhook"]);
  });

  test("works for replay and listen --forward, too", async () => {
    const app = await listening();
    const { port } = new URL(app.url);
    const { url } = await listening(["--forward", port]);
    expect((await run(["send", "POOL_CLOSED", "--to", new URL(url).host])).code).toBe(0);
    store("1", signToloka({ secret: TOLOKA_SECRET, events: [] }));
    expect((await run(["replay", "kept", "--to", port])).code).toBe(0);
  });

  test("is reached at IPv4 although localhost is IPv6 first", async () => {
    const server = http.createServer(answering(200, "")).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    expect((await run(["send", "POOL_CLOSED", "--to", `localhost:${port}`])).code).toBe(0);
  });
});

describe("--data", () => {
  const fields = { pool_id: "pööl" };
  const json = JSON.stringify(fields);

  test("is JSON on the command line, or a file with or without a byte order mark", async () => {
    const bodies: string[] = [];
    const url = await serve(async (request, response) => {
      bodies.push(Buffer.concat(await request.toArray()).toString());
      response.end();
    });
    const swapped = Buffer.from(`\ufeff${json}`, "utf16le").swap16();
    writeFileSync(path("plain.json"), json);
    writeFileSync(path("utf-8.json"), `\ufeff${json}`);
    writeFileSync(path("utf-16le.json"), Buffer.from(`\ufeff${json}`, "utf16le"));
    writeFileSync(path("utf-16be.json"), swapped);
    for (const data of [json, ` ${json}`, "plain.json", "utf-8.json", "utf-16le.json", "utf-16be.json"])
      expect(await run(["send", "POOL_CLOSED", "--to", url, "--data", data])).toMatchObject({ code: 0 });
    const piped = await run(["send", "POOL_CLOSED", "--to", url, "--data", "-"], {
      env: SECRETS,
      input: `\ufeff${json}`,
    });
    expect(piped.code).toBe(0);
    expect(bodies.map((body) => JSON.parse(body).events[0].pool_id)).toEqual(Array(7).fill(fields.pool_id));
  });

  test.for([
    ["{pool_id: 1}", "--data must be a JSON object, but is no JSON"],
    ["[]", "--data must be a JSON object: the fields of an event."],
    ["pool_id=1", "there is no such file. JSON on the command line begins with {."],
    [".", "cannot be read: EISDIR."],
    ["bytes", "--data bytes is no text in UTF-8."],
  ] as const)("refuses %s", async ([data, message]) => {
    writeFileSync(path("bytes"), new Uint8Array([0xc3, 0x28]));
    const ended = await run(["send", "POOL_CLOSED", "--to", "localhost:1", "--data", data]);
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
  });
});

describe("replay", () => {
  test("skips a file that is no delivery, names it, and ends with 1", async () => {
    store("1-good", signToloka({ secret: TOLOKA_SECRET, events: [tolokaEvent("POOL_CLOSED")] }));
    store("2-favicon", { headers: { host: "x" }, body: "" });
    store("3-bytes", { headers: { "toloka-signature": "x" }, body: new Uint8Array([255]) });
    writeFileSync(path("kept/4-other.json"), "{}");
    writeFileSync(path("kept/5-text.json"), "\u001bno");
    const { process, url } = await listening(["--json"]);
    const text = await run(["replay", "kept", "--to", url, "--resign"]);
    expect(text).toMatchObject({ code: 1, stderr: "" });
    expect(text.stdout).toContain("– kept/2-favicon.json  skipped: neither its headers nor its body");
    expect(text.stdout).toContain("– kept/3-bytes.json  skipped: its body is not UTF-8");
    expect(text.stdout).toContain("– kept/4-other.json  skipped: not a stored delivery: its version");
    expect(text.stdout).toContain("– kept/5-text.json  skipped: not a stored delivery: it is not JSON");
    expect(text.stdout).toContain("✗ 4 skipped");
    const json = await run(["replay", "kept", "--to", url, "--resign", "--json"]);
    expect(json.code).toBe(1);
    expect(jsonOf(json)).toMatchObject({ sent: 1, statuses: { 200: 1 } });
    expect(jsonOf(json).skipped).toHaveLength(4);
    expect(linesOf(await process.interrupt()).at(-1)).toEqual({ deliveries: 2, verdicts: { genuine: 2 } });

    // Bytes can be sent again without a signature of their own.
    const bytes = await run(["replay", "kept", "--to", await serve(answering(200, "")), "--json"]);
    expect(bytes.code).toBe(1);
    expect(jsonOf(bytes)).toMatchObject({ sent: 3, statuses: { 200: 3 } });
    expect(jsonOf(bytes).skipped).toHaveLength(2);
  });

  test("reads a stored delivery with a byte order mark, and leaves that of its body", async () => {
    const body = `\ufeff${JSON.stringify({ events: [] })}`;
    store("1", signToloka({ secret: TOLOKA_SECRET, body }));
    const file = path("kept/1.json");
    writeFileSync(file, `\ufeff${readFileSync(file, "utf8")}`);
    let received = Buffer.alloc(0);
    const url = await serve(async (request, response) => {
      received = Buffer.concat(await request.toArray());
      response.end();
    });
    expect((await run(["replay", file, "--to", url])).code).toBe(0);
    expect(received.equals(Buffer.from(body))).toBe(true);
  });

  test("says of a refused delivery whether its secret is that of the environment", async () => {
    store("1", signToloka({ secret: TOLOKA_SECRET, events: [] }));
    store("2", signProlific({ secret: "foreign", event: prolificEvent("study.status.change") }));
    const { url } = await listening([], { env: { TOLOKA_SECRET: "a", PROLIFIC_SECRET: "b" } });
    const { code, stdout } = await run(["replay", "kept", "--to", url], {
      env: { TOLOKA_SECRET, PROLIFIC_SECRET },
    });
    expect(code).toBe(1);
    expect(stdout).toContain("another secret than the one in TOLOKA_SECRET, which signed the delivery.");
    expect(stdout).toContain("Prolific: the saved signature fits no secret in PROLIFIC_SECRET either.");
    const unknown = await run(["replay", "kept", "--to", url], { env: {} });
    expect(unknown.stdout).toContain("another secret than the one that signed the delivery.");
  });
});
