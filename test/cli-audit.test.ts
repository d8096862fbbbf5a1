import { readFileSync } from "node:fs";
import { CHECKS } from "@crowdhook/audit";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { jsonOf, PROLIFIC_SECRET, SECRETS, TOLOKA_SECRET, useCli, webhookApp } from "./cli-fixture.js";

const { path, run, serve } = useCli();

describe("audit", () => {
  // The app logs what it refuses.
  beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
  afterEach(() => void vi.restoreAllMocks());

  /** Starts an app with a report route. A broken one accepts unsigned deliveries. */
  async function app({ isBroken = false } = {}): Promise<string> {
    const handled: string[] = [];
    const app = webhookApp(TOLOKA_SECRET);
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
    "passes a good endpoint of %s",
    { timeout: 60_000 },
    async (provider) => {
      const url = await app();
      const env = { ...SECRETS, TOLOKA_SECRET: `${TOLOKA_SECRET},toloka-0ther` };
      const audited = await run(["audit", `${url}/hooks/${provider}`, "--report", `${url}/handled`], { env });
      expect(audited.stderr).toBe("");
      expect(audited.stdout.split("\n").filter((line) => /^ {2}[✗–]/.test(line))).toEqual(
        // Prolific has one secret in this test.
        provider === "toloka" ? [] : ["  – signature-second-secret      skipped: there is one secret only"],
      );
      for (const { id, providers } of CHECKS)
        expect(audited.stdout.includes(` ${id} `)).toBe(providers.includes(provider));
      expect(audited.stdout).toMatch(/\n✓ Safe: every MUST passed\. \d+ checks in [\d.]+ s\.\n$/);
      expect(audited.code).toBe(0);
    },
  );

  test("calls an endpoint not proven when there is no report route", {
    timeout: 60_000,
  }, async () => {
    const audited = await run(["audit", await app(), "--provider", "toloka"]);
    expect(audited.stdout).toContain("– once-concurrent              skipped: there is no report route\n");
    expect(audited.stdout).toMatch(
      /\n– Not proven: no MUST failed, but some checks need a report route: --report\. /,
    );
    expect(audited.code).toBe(0);
  });

  test("fails for a broken endpoint, with the reason", async () => {
    const only = ["--only", "signature-missing", "--only", "signature-good", "--only", "time-old"];
    const audited = await run(["audit", `${await app({ isBroken: true })}/hooks/toloka`, ...only]);
    expect(audited).toMatchObject({ code: 1, stderr: "" });
    expect(audited.stdout).toContain(`signature
  ✓ signature-good               A delivery that is signed as documented is accepted.
  ✗ signature-missing            MUST: A delivery that is not signed is refused.
      why       Otherwise anyone without the secret can have an event handled.
      expected  a refusal, not 2xx
      seen      200, \uFFFD[2Jwelcome
      page      docs/audit/checks.md#signature-missing

time
  ✓ time-old `);
    expect(audited.stdout).toMatch(
      / {2}MUST {4}1 passed, 1 failed\n {2}SHOULD {2}1 passed\n {2}MAY {5}0 passed\n✗ Unsafe: a MUST failed\. /,
    );
  });

  test("writes the report as JSON, JUnit XML, TAP and SVG", async () => {
    const url = `${await app({ isBroken: true })}/hooks/toloka`;
    const only = ["--only", "signature-missing", "--only", "signature-good"];
    const files = ["--junit", "junit.xml", "--tap", "audit.tap", "--badge", "badge.svg"];
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
    expect(readFileSync(path("junit.xml"), "utf8")).toMatch(/^<\?xml .*<failure .*<\/testsuites>$/s);
    expect(readFileSync(path("audit.tap"), "utf8")).toMatch(
      /^TAP version 14\n1\.\.2\nok 1 .*\nnot ok 2 .*\n$/s,
    );
    expect(readFileSync(path("badge.svg"), "utf8")).toMatch(/^<svg .*unsafe: 1 of 2 failed.*<\/svg>$/s);
    expect(await run(["audit", url, ...only, "--junit", "missing/junit.xml"])).toMatchObject({
      code: 2,
      stderr: "error: --junit: missing/junit.xml cannot be written: ENOENT.\n",
    });
  });

  test("fails with one sentence when there is nothing to audit", async () => {
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
  ])("refuses a wrong command line: %s", async ([message, ...args]) => {
    expect(await run(["audit", ...args])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });

  test("takes the provider whose secret is set when the URL names none", async () => {
    const ended = await run(["audit", "http://127.0.0.1:1/hook"], { env: { PROLIFIC_SECRET } });
    expect(ended).toMatchObject({ code: 1, stdout: expect.stringContaining("Prolific at ") });
  });
});
