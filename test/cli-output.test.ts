import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type http from "node:http";
import { type AuditReport, CHECKS, toBadge, toJUnit } from "@crowdhook/audit";
import { signProlific, signToloka } from "@crowdhook/core/testing";
import { describe, expect, test } from "vitest";
import { PROLIFIC_SECRET, post, TOLOKA_SECRET, useCli } from "./cli-fixture.js";
import { argument, expectHarmless, headerValue, next, pick, tried } from "./hostile-texts.js";

const { listening, path, run, serve } = useCli();

const env = {
  TOLOKA_SECRET,
  PROLIFIC_SECRET,
  TOLOKA_API_KEY: "api-k3y",
  PROLIFIC_TOKEN: "api-k3y",
  PROLIFIC_WORKSPACE_ID: "w",
};

async function runHarmless(args: readonly string[], input?: string) {
  const { stdout, stderr } = await run(args, { env, ...(input !== undefined && { input }) });
  expect(stdout + stderr).not.toBe("");
  expectHarmless(stdout, stderr);
  if (args.includes("--json")) for (const line of stdout.trim().split("\n")) if (line) JSON.parse(line);
  return stdout;
}

const answering =
  (status: number, body: () => unknown): http.RequestListener =>
  (request, response) => {
    request.resume().on("end", () => {
      response.writeHead(status, { "content-type": "application/json", "x-a": headerValue() });
      response.end(JSON.stringify(body()));
    });
  };

const MODES = [[], ["--json"]] as const;
const LIMIT = { timeout: 240_000 };

describe("nothing that is printed contains a control character from elsewhere", () => {
  test.for(MODES)(
    "listen, with a delivery's types, ids, path and headers, and the app's answers: %j",
    LIMIT,
    async (mode) => {
      const app = await serve(answering(200, () => ({ code: next(), handled: 1 })));
      for (const forward of [[], ["--forward", app]]) {
        const { process, url } = await listening(
          ["--save", path(`kept${forward.length}`), ...forward, ...mode],
          { env },
        );
        for (let i = 0; i < 60; i++) {
          const events = Array.from({ length: 10 }, () => ({ type: next(), uuid: next(), [next()]: next() }));
          const secret = pick([TOLOKA_SECRET, "guessed"]);
          await post(
            `${url}/${encodeURIComponent(argument())}`,
            signToloka({ secret, body: JSON.stringify({ events }) }),
          );
          const event = { event_type: next(), resource_id: next() };
          const signed = signProlific({ secret: PROLIFIC_SECRET, body: JSON.stringify(event) });
          await post(url, { ...signed, headers: { ...signed.headers, "x-event-id": headerValue() } });
          await post(url, { headers: { "toloka-signature": headerValue() }, body: next() });
        }
        const { stdout, stderr } = await process.interrupt();
        expectHarmless(stdout, stderr);
        expect(stdout).toContain("\\u");
        if (mode.length > 0) for (const line of stdout.trim().split("\n")) JSON.parse(line);
      }
    },
  );

  test.for(MODES)("verify, with types, ids, headers and file names: %j", LIMIT, async (mode) => {
    for (let i = 0; i < 5; i++) {
      const events = Array.from({ length: 100 }, () => ({ type: next(), uuid: next() }));
      const body = JSON.stringify({ events });
      await runHarmless(
        ["verify", "--body", "-", "--header", `toloka-signature: ${argument()}`, ...mode],
        body,
      );
      await runHarmless(["verify", "--body", "-", "--header", argument(), ...mode], body);
      await runHarmless(["verify", argument(), ...mode]);
      writeFileSync(path("stored.json"), JSON.stringify({ version: next() }));
      await runHarmless(["verify", path("stored.json"), ...mode]);
    }
  });

  test.for(MODES)("send and replay, with answers, targets and file names: %j", LIMIT, async (mode) => {
    const url = await serve(answering(pick([200, 500]), () => ({ code: next(), [next()]: 1 })));
    for (const args of [
      ["all", "--to", url, "--count", "3"],
      ["all", "--to", url, "--count", "20"],
    ])
      await runHarmless(["send", ...args, ...mode]);
    await runHarmless(["send", argument(), "--to", url, ...mode]);
    await runHarmless(["send", "POOL_CLOSED", "--to", `http://${argument()}`, ...mode]);
    await runHarmless(["send", "POOL_CLOSED", "--to", argument(), ...mode]);
    await runHarmless(["send", "POOL_CLOSED", "--to", url, "--data", argument(), ...mode]);
    mkdirSync(path("stored"));
    const { headers, body, method } = signToloka({ secret: TOLOKA_SECRET, events: [] });
    const stored = {
      version: 1,
      receivedAt: new Date(),
      method,
      path: "/x",
      headers: Object.entries(headers).map((line) => line.join(": ")),
      encoding: "utf-8",
      body,
    };
    for (let i = 0; i < 30; i++) {
      const name = argument().replaceAll("/", "").slice(0, 40);
      writeFileSync(
        path(`stored/${name}.json`),
        JSON.stringify({ ...stored, path: `/${next().replace(/[^\x21-\x7e]/g, "")}` }),
      );
    }
    expect(readdirSync(path("stored")).length).toBeGreaterThan(10);
    await runHarmless(["replay", path("stored"), "--to", url, ...mode]);
    writeFileSync(path(`stored/${argument().replaceAll("/", "").slice(0, 40)}z.json`), "{}");
    await runHarmless(["replay", path("stored"), "--to", url, ...mode]);
  });

  test.for(MODES)("subscriptions, with an API's lists and errors: %j", LIMIT, async (mode) => {
    const item = () => ({
      id: next(),
      event_type: next(),
      webhook_url: next(),
      target_url: next(),
      pool_id: next(),
      workspace_id: next(),
      is_enabled: true,
      created: "2026-01-01T00:00:00",
    });
    let first = true;
    const list = await serve((request, response) => {
      const results = first ? Array.from({ length: 100 }, item) : [];
      first = !first;
      answering(200, () => ({ items: results, results, has_more: false }))(request, response);
    });
    const error = await serve(
      answering(400, () => ({
        code: next(),
        message: next(),
        request_id: next(),
        title: next(),
        detail: { [next()]: next() },
        error: undefined,
      })),
    );
    for (const provider of ["toloka", "prolific"]) {
      const type =
        provider === "toloka"
          ? ["--event", "POOL_CLOSED", "--pool", "1"]
          : ["--event", "study.status.change"];
      const target = ["--url", "https://example.com/hook", ...type];
      for (const api of [list, error]) {
        const to = ["--provider", provider, "--base-url", api, ...mode];
        await runHarmless(["subscriptions", "list", ...to]);
        await runHarmless(["subscriptions", "sync", ...target, ...to, "--dry-run", "--delete-extra"]);
        await runHarmless([
          "subscriptions",
          "sync",
          "--url",
          `https://example.com/${argument()}`,
          ...type,
          "--event",
          argument(),
          ...to,
          "--dry-run",
        ]);
      }
      await runHarmless([
        "subscriptions",
        "create",
        ...target,
        "--provider",
        provider,
        "--base-url",
        error,
        ...mode,
      ]);
      await runHarmless([
        "subscriptions",
        "delete",
        argument(),
        "--yes",
        "--provider",
        provider,
        "--base-url",
        error,
        ...mode,
      ]);
      await runHarmless(["subscriptions", "list", "--provider", provider, "--base-url", argument(), ...mode]);
    }
  });

  test("audit, with an endpoint's answers, and its reports in XML", LIMIT, async () => {
    for (let i = 0; i < 4; i++) {
      const url = await serve(answering(pick([200, 400, 500]), next));
      await runHarmless([
        "audit",
        url,
        "--provider",
        "toloka",
        "--only",
        "signature-good",
        "--only",
        "signature-missing",
        ...pick(MODES),
      ]);
      await runHarmless(["audit", url, "--provider", "toloka", "--only", argument()]);
    }
    for (let i = 0; i < 300; i++) {
      const results = CHECKS.slice(0, 3).map((check, index) => ({
        ...check,
        ...(index === 0
          ? { status: "skipped", why: next() }
          : { status: "failed", expected: next(), seen: next() }),
      })) as AuditReport["results"];
      const count = { passed: 0, failed: 0, skipped: 0 };
      const report = {
        provider: "toloka",
        url: "http://x",
        verdict: "unsafe",
        counts: { MUST: count, SHOULD: count, MAY: count },
        seconds: 1,
        results,
      } as const;
      expectHarmless(await toJUnit(report), await toBadge(report));
    }
  });

  test("mistyped commands and options, with the suggestions for them", LIMIT, async () => {
    for (let i = 0; i < 4; i++) {
      await runHarmless([`sen${argument()}`]);
      await runHarmless(["listen", `--t${argument()}`]);
      await runHarmless(["listen", "--port", argument()]);
      await runHarmless(["listen", `--port=${argument()}`]);
      await runHarmless(["listen", "--forward", argument()]);
      await runHarmless(["listen", "--port", "0", "--save", `/dev/null/${argument()}`]);
      await runHarmless(["listen", "--provider", argument()]);
      await runHarmless(["send", "POOL_CLOS", "--to", argument()]);
    }
  });

  test.for([
    [["listen", "--t$&\n✓ x"], "unknown option '--t$&\\u{a}✓ x'"],
    [["listen", "--port=\n✓ x"], "argument '\\u{a}✓ x' is invalid"],
    [["lister\n"], "unknown command 'lister\\u{a}'\n(Did you mean listen?)"],
  ] as const)("an error message has no line break of its argument: %j", async ([args, message]) => {
    const { stderr } = await run(args, { env });
    expect(stderr).toContain(message);
  });

  test("thousands of texts were tried", () => {
    expect(tried()).toBeGreaterThan(5_000);
  });
});

test("a terminal gets the command's own colours, and no others", async () => {
  const { process, url } = await listening([], { env: { ...env, FORCE_COLOR: "1" } });
  const events = [{ type: "\u001b[31mred", uuid: "\u001b[0m" }];
  await post(url, signToloka({ secret: TOLOKA_SECRET, body: JSON.stringify({ events }) }));
  const { stdout } = await process.interrupt();
  expect(stdout).toContain("\\u{1b}[31mred");
  expect(stdout).toContain("\u001b[32m✓\u001b[39m Toloka, genuine");
  expectHarmless(stdout.replaceAll(/\p{Cc}\[\d+m/gu, ""));
});

test("only output.ts writes to standard output and standard error", () => {
  const folder = new URL("../packages/cli/src/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  const writers = files.filter((name) =>
    /console\.\w|\bstd(out|err)\.write|process\.emitWarning/.test(
      readFileSync(new URL(name, folder), "utf8"),
    ),
  );
  expect(writers).toEqual([]);
  expect(readFileSync(new URL("output.ts", folder), "utf8").match(/stream\.write/g)).toHaveLength(1);
});
