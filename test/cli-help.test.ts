import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { SENDERS } from "@crowdhook/core/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  API_KEY,
  PROLIFIC_SECRET,
  SECRETS,
  TOLOKA_SECRET,
  useCli,
  vector,
  webhookApp,
} from "./cli-fixture.js";
import { BIN, start } from "./cli-process.js";

const { path, run, serve, track } = useCli();

describe("crowdhook", () => {
  test.for<[message: string, code: number, args: string[]]>([
    ["unknown command 'sned'\n(Did you mean send?)", 2, ["sned"]],
    ["required option '--to <url>'", 2, ["send", "POOL_CLOSED"]],
    ["Did you mean POOL_CLOSED?", 2, ["send", "pool_closd", "--to", "http://127.0.0.1:1"]],
    ["study.progress.change", 2, ["send", "nothing-like-it", "--to", "http://127.0.0.1:1"]],
    ["must begin with http://", 2, ["send", "POOL_CLOSED", "--to", "ftp://localhost:3000"]],
    [
      'or be a host such as localhost:3000, not "localhost:port"',
      2,
      ["send", "POOL_CLOSED", "--to", "localhost:port"],
    ],
    [
      'or be a host such as localhost:3000, not "/toloka-webhook"',
      2,
      ["send", "POOL_CLOSED", "--to", "/toloka-webhook"],
    ],
    ['or be a host such as localhost:3000, not ""', 2, ["send", "POOL_CLOSED", "--to", ""]],
    ["must not contain a user name", 2, ["send", "POOL_CLOSED", "--to", "http://a:b@localhost"]],
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
  ])("prints %s and ends with %i", async ([message, code, args]) => {
    const ended = await run(args);
    expect(ended).toMatchObject({ code, stderr: expect.stringContaining(message) });
    // No stack.
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  test("refuses a port in use, a missing secret and a secret with white space", async () => {
    const port = new URL(await serve(() => {})).port;
    expect(await run(["listen", "--port", port])).toMatchObject({
      code: 1,
      stderr: `error: Port ${port} is in use. Stop the program that listens there, or choose another port with --port.\n`,
    });
    const missing = await run(["send", "POOL_CLOSED", "--to", "http://127.0.0.1:1"], { env: {} });
    expect(missing).toMatchObject({
      code: 2,
      stderr: "error: Toloka's secret is missing. Set TOLOKA_SECRET.\n",
    });
    const broken = await run(["listen"], { env: { TOLOKA_SECRET: `${TOLOKA_SECRET}\n` } });
    expect(broken).toMatchObject({ code: 2, stderr: expect.stringContaining("white space") });
  });

  test("colours the output only where colours are wanted", async () => {
    const open = await serve((_request, response) => response.end());
    const args = ["send", "POOL_CLOSED", "--to", open];
    const coloured = async (env: Record<string, string>) =>
      (await run(args, { env: { ...SECRETS, ...env } })).stdout.includes("\u001b[");
    // A build server is not a terminal.
    expect(await coloured({ CI: "true" })).toBe(false);
    expect(await coloured({ FORCE_COLOR: "1" })).toBe(true);
    expect(await coloured({ FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
  });

  test("send --help lists every event type under its provider", async () => {
    const { stdout } = await run(["send", "--help"]);
    const [, list = ""] = /\nEvent types:\n(.*?)\n\n/s.exec(stdout) ?? [];
    for (const { provider } of SENDERS) {
      const [, types = ""] = new RegExp(`  ${provider.title}:\n((?: {4}.*\n?)+)`).exec(list) ?? [];
      expect(types.split(/[\s,]+/).filter(Boolean)).toEqual(provider.eventTypes);
    }
    for (const line of list.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("--version prints the version of the package", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../packages/cli/package.json", import.meta.url), "utf8"),
    );
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
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
    "queue",
    "queue migrate",
    "schema",
    "completion",
    ...["list", "create", "test", "delete", "recover", "sync"].map((name) => `subscriptions ${name}`),
  ])("crowdhook %s runs", async (command) => {
    const { stdout } = await run([...command.split(" ").filter(Boolean), "--help"]);
    const examples = [...stdout.matchAll(/^ {2}\$ (.*)/gm)].map(([, example = ""]) => example);
    expect(examples).not.toEqual([]);
    expect(stdout).toContain("Exit status: ");

    // The app logs what it refuses.
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(console, "error").mockImplementation(() => {});
    // The examples need an app, a body, stored deliveries and an account.
    const { secret, body, header } = vector("toloka", "documentation-example");
    const env = {
      TOLOKA_SECRET: secret,
      PROLIFIC_SECRET,
      TOLOKA_API_KEY: API_KEY,
      PATH: `${path()}:${globalThis.process.env.PATH}`,
    };
    symlinkSync(BIN, path("crowdhook"));
    writeFileSync(path("body.json"), body);
    writeFileSync(path("header.txt"), `Toloka-Signature: ${header}`);
    mkdirSync(path("deliveries"));
    const stored = {
      version: 1,
      receivedAt: "2026-01-01T12:00:00.000Z",
      method: "POST",
      path: "/toloka-webhook",
      headers: [`Toloka-Signature: ${header}`],
      encoding: "utf-8",
      body,
    };
    writeFileSync(path("deliveries/2026-01-01T12-00-00.000Z-0001.json"), JSON.stringify(stored));
    const url = await serve(webhookApp(secret));
    const api = await serve((request, response) => {
      const success = JSON.stringify({
        success: true,
        items: {
          0: { id: "8f3c", created: "2026-01-01T00:00:00", webhook_url: "u", event_type: "t", pool_id: "1" },
        },
      });
      const subscription = {
        id: "1",
        created: "2026-01-01T00:00:00",
        webhook_url: "https://example.com/toloka-webhook",
        event_type: "POOL_CLOSED",
        pool_id: "123",
      };
      const items = request.url?.startsWith("/webhook-subscriptions") ? [subscription] : [];
      const pool = { id: "123", project_id: "1", status: "OPEN" };
      const list = JSON.stringify({ items, has_more: false, ...pool });
      response.writeHead(request.method === "DELETE" ? 204 : 200, { "content-type": "application/json" });
      response.end(request.method === "DELETE" ? "" : request.method === "GET" ? list : success);
    });

    for (const example of examples) {
      const line = example
        .replace("http://127.0.0.1:3000", url)
        .replace(/listen.*/, (args) => `${args} --port 0`)
        .replace(/subscriptions \w+/, (name) => `${name} --base-url ${api}`);
      const process = track(start("sh", ["-c", `exec ${line}`], { cwd: path(), env }));
      if (line.includes(" listen")) {
        await process.printed(/Listening on/);
        process.child.kill("SIGINT");
      }
      expect(await process.ended).toMatchObject({ code: 0, stderr: "" });
    }
  });
});
