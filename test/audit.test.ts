import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  type AuditOptions,
  type AuditReport,
  audit,
  CHECKS,
  type Check,
  type CheckResult,
  toBadge,
  toJUnit,
} from "@crowdhook/audit";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import type * as nodeAdapter from "@crowdhook/node";
import { build, type Plugin } from "esbuild";
import { afterAll, beforeAll, describe, expect, type TestContext, test, vi } from "vitest";
import { FLAWS, type Flaw } from "./broken-endpoints.js";
import {
  type EndpointProvider,
  handlerOf,
  PlainEndpoint,
  type Reply,
  SECRETS,
  serve,
} from "./plain-endpoint.js";
import { listen, TARGETS } from "./targets.js";

const LONG = { timeout: 120_000 };
const BOTH = ["toloka", "prolific"] as const;
const secrets = [...SECRETS];

const checksOf = (provider: EndpointProvider) =>
  CHECKS.filter(({ providers }) => providers.includes(provider));
const idsOf = (checks: readonly Check[]) => checks.map(({ id }) => id);
const named = (results: readonly CheckResult[], status: CheckResult["status"]) =>
  idsOf(results.filter((result) => result.status === status));
/** What did not pass, with what was seen of it, for a test that fails to say. */
const notPassed = ({ results }: AuditReport) => results.filter(({ status }) => status !== "passed");

// Receivers log what they refuse.
beforeAll(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

type OnTestFinished = TestContext["onTestFinished"];

/** An endpoint that is right, or what a change makes of it. */
async function plain(
  onTestFinished: OnTestFinished,
  provider: EndpointProvider,
  change: (endpoint: PlainEndpoint) => unknown = () => {},
) {
  const endpoint = new PlainEndpoint(provider);
  const { close, ...urls } = await serve(endpoint);
  change(endpoint);
  onTestFinished(close);
  return { ...urls, provider, secrets };
}

/** A server that does one thing, whatever it is asked. */
async function serving(onTestFinished: OnTestFinished, handler: http.RequestListener): Promise<string> {
  const { origin, close } = await listen(handler);
  onTestFinished(close);
  return origin;
}

describe("the checks", () => {
  test("have ids that stay", () => {
    expect(idsOf(CHECKS)).toMatchInlineSnapshot(`
      [
        "signature-good",
        "signature-header-case",
        "signature-short",
        "signature-shorter",
        "signature-padded",
        "signature-order",
        "signature-spaces",
        "signature-new-field",
        "signature-version",
        "signature-second-secret",
        "signature-missing",
        "signature-empty",
        "signature-cut-at-end",
        "signature-cut-in-front",
        "signature-unreadable",
        "signature-other-secret",
        "signature-no-secret",
        "signature-other-body",
        "signature-other-version",
        "signature-long",
        "signature-twice",
        "signature-boundary",
        "signature-status",
        "time-changed",
        "time-missing",
        "time-old",
        "time-ahead",
        "time-unit",
        "time-unreadable",
        "time-close",
        "body-indented",
        "body-escapes",
        "body-not-ascii",
        "body-rewritten",
        "body-decoded",
        "body-mark-added",
        "body-mark",
        "body-not-utf8",
        "body-empty",
        "body-not-json",
        "body-null",
        "body-not-an-envelope",
        "body-no-events",
        "body-bare-event",
        "body-answered",
        "event-types",
        "event-type-new",
        "event-type-new-among-others",
        "event-type-inherited",
        "event-fields-new",
        "event-values-new",
        "event-close-reason-new",
        "event-time-forms",
        "event-overlap-forms",
        "event-batch",
        "event-batch-order",
        "event-misfit-among-others",
        "event-misfit",
        "event-fields-twice",
        "event-field-proto",
        "event-numbers-huge",
        "event-nested-deep",
        "once-accepted",
        "once-same-delivery",
        "once-signed-anew",
        "once-concurrent",
        "once-in-a-delivery",
        "once-among-others",
        "once-each",
        "once-after-forgery",
        "once-other-id",
        "http-chunked",
        "http-slow",
        "http-broken-off",
        "http-pipelined",
        "http-length-twice",
        "http-method",
        "http-allow",
        "http-path",
        "http-content-type",
        "http-content-type-other",
        "http-content-encoding",
        "size-200-kb",
        "size-4-mb",
        "size-limit",
        "size-limit-chunked",
        "size-limit-inflated",
        "size-status",
        "reply-secret",
        "reply-signature",
        "reply-trace",
        "reply-200",
        "end-refused-not-handled",
        "end-nothing-twice",
        "end-alive",
      ]
    `);
  });

  test("each say what must hold, why, and where it is written", () => {
    expect(new Set(idsOf(CHECKS)).size).toBe(CHECKS.length);
    for (const { id, group, providers, level, requirement, reason, source } of CHECKS) {
      expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
      expect(id.startsWith(group.replace(/s$|ies$/, "").slice(0, 3))).toBe(true);
      expect(providers).not.toEqual([]);
      expect(["MUST", "SHOULD", "MAY"]).toContain(level);
      for (const sentence of [requirement, reason]) expect(sentence).toMatch(/^[A-Z`].*\.$/);
      expect(source).not.toBe("");
    }
  });

  test("use no code of core that receives deliveries", () => {
    const sources = new URL("../packages/audit/src/", import.meta.url);
    const files = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((file) =>
      /\.ts$/.test(file),
    );
    const imported = files.flatMap((file) => {
      const text = readFileSync(new URL(file, sources), "utf8");
      const lines = [...text.matchAll(/^import (?!type )\{([^}]*)\} from "(@crowdhook\/[^"]+)"/gm)];
      return lines.flatMap(([, names = "", from]) =>
        names
          .split(",")
          .map((name) => name.trim())
          .filter((name) => name !== "" && !name.startsWith("type "))
          .map((name) => `${name} from ${from}`),
      );
    });
    expect([...new Set(imported)].sort()).toEqual([
      "SENDERS from @crowdhook/core/testing",
      "describeValue from @crowdhook/core/internal",
      "toAscii from @crowdhook/core/inspect",
    ]);
  });

  test("can all fail, for either provider", () => {
    const found = BOTH.flatMap((provider) =>
      FLAWS.flatMap(({ fails }) => (fails[provider] ?? "").split(/\s+/).map((id) => `${provider} ${id}`)),
    );
    // Node refuses these before an app sees them: see below.
    const elsewhere = BOTH.map((provider) => `${provider} http-length-twice`);
    const all = BOTH.flatMap((provider) => idsOf(checksOf(provider)).map((id) => `${provider} ${id}`));
    expect(all.filter((id) => ![...found, ...elsewhere].includes(id))).toEqual([]);
  });
});

describe("the signer agrees with genuine signatures", () => {
  interface Vector {
    readonly name: string;
    readonly secret: string;
    readonly body: string;
    readonly ts: number;
    readonly v: number;
    readonly header: string;
    readonly headers: Readonly<Record<string, string>>;
  }
  const vectors = (provider: EndpointProvider): readonly Vector[] =>
    JSON.parse(readFileSync(new URL(`vectors/${provider}.json`, import.meta.url), "utf8")).valid;

  const senderOf = (name: EndpointProvider) =>
    SENDERS.find(({ provider }) => provider.name === name) as Sender;
  const toloka = senderOf("toloka");
  const prolific = senderOf("prolific");

  test.each(vectors("toloka"))("of Toloka: $name", ({ secret, body, ts, v, header }) => {
    const signed = { time: toloka.formatTime(ts), version: String(v) };
    const digest = toloka.computeDigest(secret, signed, Buffer.from(body));
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    const shortened = digest.replace(/^0+/, "");
    expect(toloka.signatureHeaders({ ...signed, digest: shortened })).toEqual([["Toloka-Signature", header]]);
  });

  test.each(vectors("prolific"))("of Prolific: $name", ({ secret, body, headers }) => {
    const time = headers["X-Prolific-Request-Timestamp"] ?? "";
    expect(prolific.formatTime(Number(time) * 1000 + 999)).toBe(time);
    const digest = prolific.computeDigest(secret, { time, version: "" }, Buffer.from(body));
    const written = prolific.signatureHeaders({ time, version: "", digest });
    const { "X-Event-ID": id, "X-Timestamp": occurred, ...signature } = headers;
    expect(Object.fromEntries(written)).toEqual(signature);
  });
});

describe.each(TARGETS.filter(({ name }) => name !== "core"))("the adapter for $name", (target) => {
  test.for(BOTH)("passes every check of %s", LONG, async (provider, { onTestFinished }) => {
    const running = await target.start({ secret: secrets });
    onTestFinished(running.close);
    const handled: string[] = [];
    for (const webhook of [running.webhook, running.prolific]) webhook.onAny(({ id }) => handled.push(id));
    const report = await serving(onTestFinished, (_, response) => response.end(JSON.stringify({ handled })));
    const url = `${running.origin}/${provider}-webhook`;
    const result = await audit({ url, provider, secrets, report, timeout: 30 });
    expect(notPassed(result)).toEqual([]);
    expect(idsOf(result.results)).toEqual(idsOf(checksOf(provider)));
    expect(result.verdict).toBe("safe");
  });
});

describe("an endpoint that is none of ours", () => {
  test.for(BOTH)("passes every check of %s if it is right", LONG, async (provider, { onTestFinished }) => {
    const { results, ...report } = await audit({ ...(await plain(onTestFinished, provider)), timeout: 30 });
    expect(results.filter(({ status }) => status !== "passed")).toEqual([]);
    const passed = results.filter(({ level }) => level === "MUST").length;
    const counts = { MUST: { passed, failed: 0, skipped: 0 } };
    expect(report).toMatchObject({ provider, verdict: "safe", counts });
  });

  test.for(BOTH)("passes if it handles events of %s later", LONG, async (provider, { onTestFinished }) => {
    const options = await plain(onTestFinished, provider, (endpoint) => {
      const { handle } = endpoint;
      let queue = Promise.resolve<unknown>(undefined);
      endpoint.handle = (event) => {
        queue = queue.then(() => setTimeout(1)).then(() => handle.call(endpoint, event));
        return true;
      };
    });
    const only = idsOf(checksOf(provider).filter(isQuick));
    expect(notPassed(await audit({ ...options, only, timeout: 30 }))).toEqual([]);
  });

  test.for(BOTH)("may list events of %s that came without an id", async (provider, { onTestFinished }) => {
    const options = await plain(onTestFinished, provider, (endpoint) => {
      const { handle } = endpoint;
      endpoint.handle = (event) => {
        if (typeof event.id === "string" && event.id !== "") return handle.call(endpoint, event);
        endpoint.handled.push(event.id as string);
        return true;
      };
    });
    const only = ["event-misfit", "once-same-delivery", "end-nothing-twice"];
    expect(notPassed(await audit({ ...options, only }))).toEqual([]);
  });

  /** Found out by exactly the right checks. */
  const isFoundOut = async (flaw: Flaw, provider: EndpointProvider, onTestFinished: OnTestFinished) => {
    const { breaks, fails, slow = "" } = flaw;
    const checks = checksOf(provider).filter((check) => {
      return isQuick(check) || slow === "all" || slow.split(" ").includes(check.id);
    });
    const options = await plain(onTestFinished, provider, breaks);
    const report = await audit({ ...options, only: idsOf(checks), timeout: slow ? 30 : 5 });
    expect(named(report.results, "failed")).toEqual(fails[provider]?.trim().split(/\s+/));
    const isUnsafe = report.results.some(({ level, status }) => level === "MUST" && status === "failed");
    expect(report.verdict === "unsafe").toBe(isUnsafe);
    // Neither a secret, nor a signature.
    expect(JSON.stringify(report)).not.toMatch(/s3cret|\b[0-9a-f]{60,64}\b|[\w+/]{43}=/);
  };
  const cases = FLAWS.flatMap((flaw) =>
    BOTH.flatMap((provider) =>
      flaw.fails[provider] === undefined ? [] : [{ flaw, provider, name: flaw.name }],
    ),
  );

  describe.concurrent("is found out by exactly the right checks", () => {
    test.for(cases.filter(({ flaw }) => !flaw.slow))(
      "$provider: $name",
      LONG,
      ({ flaw, provider }, { onTestFinished }) => isFoundOut(flaw, provider, onTestFinished),
    );
  });
  // Large bodies keep this process busy, so that others would wait for their answers.
  describe("is found out by exactly the right checks, some of which take long", () => {
    test.for(cases.filter(({ flaw }) => flaw.slow))(
      "$provider: $name",
      LONG,
      ({ flaw, provider }, { onTestFinished }) => isFoundOut(flaw, provider, onTestFinished),
    );
  });
});

describe("before anything else it is said that", () => {
  const only = ["signature-good"];
  const answering = async (onTestFinished: OnTestFinished, { status, text, headers }: Reply) => {
    const url = await serving(onTestFinished, (_, response) => response.writeHead(status, headers).end(text));
    return { url, provider: "toloka", secrets, only } as const;
  };

  test("nothing listens", async () => {
    await expect(
      audit({ url: "http://127.0.0.1:1/webhook", provider: "toloka", secrets }),
    ).rejects.toMatchObject({
      name: "AuditError",
      code: "UNREACHABLE",
      message:
        "Nothing listens at 127.0.0.1:1: the connection was refused. Is the app running, and is the port right?",
    });
  });

  test("there is no such host", async () => {
    await expect(
      audit({ url: "http://crowdhook.invalid/webhook", provider: "toloka", secrets }),
    ).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringMatching(/^crowdhook\.invalid cannot be reached/),
    });
  });

  test("nothing is answered, in time or at all", async ({ onTestFinished }) => {
    const silent = await serving(onTestFinished, () => {});
    await expect(audit({ url: silent, provider: "toloka", secrets, timeout: 0.1 })).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringContaining("none within 0.1 s"),
    });
    const rude = await serving(onTestFinished, ({ socket }) => socket.destroy());
    await expect(audit({ url: rude, provider: "toloka", secrets })).rejects.toMatchObject({
      code: "UNREACHABLE",
      message: expect.stringContaining("the connection was closed"),
    });
  });

  test.for<[number, string]>([
    [401, "another secret"],
    [403, "another secret"],
    [404, "path"],
    [308, "redirects"],
    [500, "log"],
    [413, "webhooks of this provider"],
  ])("the first good delivery is answered with %i", async ([status, hint], { onTestFinished }) => {
    const text = `no ${SECRETS[0]}\n\u001b[31m${"x".repeat(1_000)}`;
    const options = await answering(onTestFinished, { status, text, headers: { location: "/elsewhere" } });
    const error = await audit(options).catch((error) => error);
    expect(error).toMatchObject({ name: "AuditError", code: "NOT_ACCEPTED" });
    expect(error.message).toContain(`is not accepted: ${status}, no [not shown] \uFFFD[31mxxx`);
    expect(error.message).toContain(hint);
    expect(error.message.length).toBeLessThan(450);
  });

  test("an endpoint has another secret", async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "prolific");
    await expect(audit({ ...options, secrets: ["other"] })).rejects.toMatchObject({
      message:
        "A good delivery, signed with the secret, is not accepted: 401, no. Probably the endpoint has another secret, or does not compute the signature over the raw body.",
    });
  });

  test.for([
    { status: 404, text: "not here" },
    { status: 200, text: "<html>" },
    { status: 200, text: "null" },
    { status: 200, text: '{"handled":[1]}' },
    { status: 200, text: '{"handled":["another"]}' },
  ])("the report route is none: $status, $text", async (reply, { onTestFinished }) => {
    const { url: report } = await answering(onTestFinished, reply);
    const options = { ...(await plain(onTestFinished, "toloka")), report, timeout: 1 };
    await expect(audit(options)).rejects.toMatchObject({
      code: "REPORT_UNUSABLE",
      message: expect.stringContaining("all ASSIGNMENT_SUBMITTED events that were handled"),
    });
  });

  test("nothing listens at the report route", async ({ onTestFinished }) => {
    const options = { ...(await plain(onTestFinished, "toloka")), report: "http://127.0.0.1:1/" };
    await expect(audit(options)).rejects.toMatchObject({ code: "REPORT_UNUSABLE" });
  });
});

test.each<[string, Partial<Record<keyof AuditOptions, unknown>>]>([
  ["`url` must begin with http", { url: "127.0.0.1:3000" }],
  ["`url` must not contain a user name", { url: "http://me:pass@127.0.0.1/" }],
  ["`report` must begin with http", { report: "/handled" }],
  ['`provider` must be "toloka" or "prolific", not "constructor"', { provider: "constructor" }],
  ["`secrets` must be a list", { secrets: "s3cret" }],
  ["`secrets` must be a list", { secrets: [] }],
  ["`secrets` must be a list", { secrets: ["one", ""] }],
  ["`timeout` must be a number of seconds", { timeout: 0 }],
  ["`timeout` must be a number of seconds", { timeout: 5_000 }],
  ['there is no check "signature-god" for Toloka', { only: ["signature-god"] }],
  ['there is no check "signature-boundary" for Toloka', { only: ["signature-boundary"] }],
])("a mistake in the options: %s", async (message, options) => {
  const good: AuditOptions = { url: "http://127.0.0.1:1/", provider: "toloka", secrets };
  const error = await audit({ ...good, ...(options as object) }).catch((error) => error);
  expect(error).toBeInstanceOf(TypeError);
  expect(error.message).toContain(message);
  expect(error.message).not.toMatch(/s3cret|pass@/);
});

describe("a report", () => {
  test(
    "without a report route skips what it cannot know, and says that it is not proven",
    LONG,
    async ({ onTestFinished }) => {
      const { report: _, ...options } = await plain(onTestFinished, "toloka");
      const only = idsOf(checksOf("toloka").filter(isQuick));
      const report = await audit({ ...options, secrets: secrets.slice(0, 1), only });
      const needing = CHECKS.filter(({ needs, providers }) => needs && providers.includes("toloka"));
      expect(named(report.results, "skipped")).toEqual(idsOf(needing));
      expect(report.results.find(({ id }) => id === "once-concurrent")).toMatchObject({
        status: "skipped",
        why: "there is no report route",
      });
      expect(named(report.results, "failed")).toEqual([]);
      expect(report.verdict).toBe("unproven");
    },
  );

  test("of an endpoint with one secret is safe all the same", LONG, async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "prolific");
    const report = await audit({ ...options, secrets: secrets.slice(0, 1), timeout: 30 });
    expect(notPassed(report)).toMatchObject([
      { id: "signature-second-secret", status: "skipped", why: "there is one secret only" },
    ]);
    expect(report.verdict).toBe("safe");
  });

  test("is of the checks that were asked for, in their order, each told at once", async ({
    onTestFinished,
  }) => {
    const told: CheckResult[] = [];
    const options = await plain(onTestFinished, "toloka");
    const only = ["time-old", "signature-missing"];
    const { results, verdict } = await audit({ ...options, only, onResult: (result) => told.push(result) });
    expect(idsOf(results)).toEqual(["signature-missing", "time-old"]);
    expect(told).toEqual(results);
    expect(verdict).toBe("unproven");
  });

  test("does not hold the query of a URL", async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "toloka", (endpoint) => {
      endpoint.refusal = () => undefined;
    });
    const report = await audit({ ...options, url: `${options.url}?token=t0ken`, only: ["signature-good"] });
    expect(report.url).toBe(options.url);
    expect(JSON.stringify(report)).not.toContain("t0ken");
  });

  test("shows of an answer what is harmless", async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "toloka", (endpoint) => {
      const { handleAll } = endpoint;
      endpoint.handleAll = (events) => {
        endpoint.handleAll = async () => ({
          status: 500,
          text: `\u001b[2J${SECRETS[1]}\u202e\r\n${"x".repeat(1_000)}`,
        });
        return handleAll.call(endpoint, events);
      };
    });
    const { results } = await audit({ ...options, only: ["signature-good"] });
    expect(results).toMatchObject([
      { status: "failed", expected: "2xx", seen: `500, \uFFFD[2J[not shown]\uFFFD ${"x".repeat(183)}…` },
    ]);
  });

  test("finds a secret however it is written, and does not take other numbers for it", async ({
    onTestFinished,
  }) => {
    const secret = 'pass"word\\ 1';
    const leaks = [
      JSON.stringify({ secret }),
      `secret=${encodeURIComponent(secret)}`,
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("hex"),
    ];
    const tells = async (secret: string, text: string) => {
      const { report, ...options } = await plain(onTestFinished, "toloka", (endpoint) => {
        endpoint.secrets = [secret];
        endpoint.forged = () => ({ status: 401, text });
      });
      return named(
        (await audit({ ...options, secrets: [secret], only: ["reply-secret"] })).results,
        "failed",
      );
    };
    for (const leak of leaks) expect(await tells(secret, leak)).toEqual(["reply-secret"]);
    expect(await tells("12345", "at 1712345678, id a12345b")).toEqual([]);
    expect(await tells("12345", "not 12345!")).toEqual(["reply-secret"]);
  });

  test.for(["before", "after"] as const)(
    "tells of an end and a restart, %s an answer",
    LONG,
    async (when, { onTestFinished }) => {
      const endpoint = new PlainEndpoint("toloka");
      const { unreadable } = endpoint;
      let port = 0;
      let isDying = false;
      const start = async () => {
        const server = http.createServer((request, response) => {
          response.on("finish", () => void (isDying && restart(server)));
          void handlerOf(endpoint)(request, response);
        });
        await once(server.listen(port, "127.0.0.1"), "listening");
        onTestFinished(() => void server.close());
        return server;
      };
      const restart = async (server: http.Server) => {
        isDying = false;
        server.close();
        server.closeAllConnections();
        await setTimeout(300);
        await start();
      };
      const server = await start();
      port = (server.address() as AddressInfo).port;
      endpoint.unreadable = (body) => {
        if (endpoint.unreadable !== unreadable && body.toString() === "null") {
          endpoint.unreadable = unreadable;
          isDying = true;
          if (when === "before") void restart(server);
        }
        return unreadable.call(endpoint, body);
      };
      const origin = `http://127.0.0.1:${port}`;
      const options = {
        url: `${origin}/webhook`,
        report: `${origin}/handled`,
        provider: "toloka",
        secrets,
      } as const;
      const only = ["body-null", "once-same-delivery", "end-alive"];
      const { results } = await audit({ ...options, only });
      expect(results.at(-1)).toMatchObject({
        id: "end-alive",
        status: "failed",
        seen: "no answers for a while after body-null",
      });
      expect(named(results, "failed")).toEqual(
        when === "before" ? ["body-null", "end-alive"] : ["end-alive"],
      );
    },
  );
});

describe("an audit ends", () => {
  test("soon, when five requests were not answered in time", LONG, async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "toloka", (endpoint) => {
      endpoint.forged = () => new Promise<never>(() => {});
    });
    const { results, verdict } = await audit({ ...options, timeout: 1 });
    expect(verdict).toBe("unsafe");
    const failed = results.filter(({ status }) => status === "failed");
    expect(failed).toHaveLength(5);
    for (const result of failed) expect(result).toMatchObject({ seen: "no answer: none within 1 s" });
    const skipped = results.filter(({ status }) => status === "skipped");
    for (const result of skipped) expect(result).toMatchObject({ why: "the endpoint takes too long" });
    expect(results.at(-1)).toMatchObject({ id: "end-alive", status: "passed" });
  });

  test("when it is told to", LONG, async ({ onTestFinished }) => {
    const options = await plain(onTestFinished, "toloka", (endpoint) => {
      endpoint.forged = () => new Promise<never>(() => {});
    });
    const controller = new AbortController();
    const audited = audit({
      ...options,
      timeout: 60,
      signal: controller.signal,
      onResult: ({ id }) => {
        // Right before the first request that nobody answers.
        if (id === "signature-second-secret") controller.abort(new Error("enough"));
      },
    });
    await expect(audited).rejects.toThrow("enough");
  });
});

describe("rendered", () => {
  const reportOf = async (onTestFinished: OnTestFinished, change?: (endpoint: PlainEndpoint) => unknown) =>
    audit({
      ...(await plain(onTestFinished, "toloka", change)),
      secrets: secrets.slice(0, 1),
      only: [
        "signature-good",
        "signature-second-secret",
        "signature-missing",
        "signature-status",
        "time-old",
      ],
    });
  const wrong = (endpoint: PlainEndpoint) => {
    endpoint.isInTime = () => true;
    const { isGenuine } = endpoint;
    endpoint.isGenuine = (headers, body) =>
      !headers["toloka-signature"] || isGenuine.call(endpoint, headers, body);
    const { handle } = endpoint;
    endpoint.handle = (event) => handle.call(endpoint, event);
    const { handleAll } = endpoint;
    endpoint.handleAll = async (events) => ({
      ...(await handleAll.call(endpoint, events)),
      text: "<&\"'\u0000]]>",
    });
  };

  test("as JUnit, only a MUST fails", async ({ onTestFinished }) => {
    const xml = await toJUnit(await reportOf(onTestFinished, wrong));
    expect(elementsOf(xml).filter((name) => name === "testcase")).toHaveLength(5);
    expect(elementsOf(xml).filter((name) => name === "failure")).toHaveLength(1);
    expect(elementsOf(xml).filter((name) => name === "skipped")).toHaveLength(2);
    expect(xml).toMatch(/<testsuites tests="5" failures="1" errors="0" skipped="2">/);
    expect(xml).toMatch(/name="signature-missing: [^"]+">\s*<failure message="MUST: [^"]*200, &lt;&amp;/);
    expect(xml).toMatch(/name="time-old: [^"]+">\s*<skipped\/>\s*<system-out><!\[CDATA\[SHOULD: /);
    expect(xml).not.toContain("\u0000");
  });

  test.for([
    ["unproven", undefined, "unproven: 2 of 3 passed"],
    ["unsafe", wrong, "unsafe: 1 of 3 failed"],
  ] as const)("as a badge: %s", async ([verdict, change, message], { onTestFinished }) => {
    const report = await reportOf(onTestFinished, change);
    expect(report.verdict).toBe(verdict);
    const svg = await toBadge(report);
    expect(elementsOf(svg)[0]).toBe("svg");
    expect(svg).toContain(`toloka webhook: ${message}`);
    expect(await toBadge({ ...report, verdict: "safe" })).toContain("toloka webhook: safe");
  });

  /** The names of an XML document's elements; throws if they do not open and close as they should. */
  function elementsOf(xml: string): readonly string[] {
    const names: string[] = [];
    const opened: string[] = [];
    const rest = xml
      .replace(/<!\[CDATA\[.*?\]\]>/gs, "")
      .replace(
        /<(\/?)([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g,
        (_, closing, name, _attributes, empty) => {
          if (closing) expect(opened.pop()).toBe(name);
          else {
            names.push(name);
            if (!empty) opened.push(name);
          }
          return "";
        },
      );
    expect(opened).toEqual([]);
    expect(rest.replace(/<\?xml [^>]*\?>/, "")).not.toMatch(/[<>]/);
    return names;
  }
});

describe("a front", () => {
  /** Passes on what `rewrite` makes of the first piece, or hangs up where that is nothing. */
  const inFront = async (
    onTestFinished: OnTestFinished,
    provider: EndpointProvider,
    rewrite: (head: string) => string | undefined,
  ) => {
    const options = await plain(onTestFinished, provider);
    const { port } = new URL(options.url);
    const front = net.createServer((sender) => {
      const endpoint = net.connect(Number(port), "127.0.0.1");
      sender.on("error", () => endpoint.destroy()).on("close", () => endpoint.destroy());
      endpoint.on("error", () => sender.destroy()).on("close", () => sender.destroy());
      sender.once("data", (data) => {
        const [head = "", ...rest] = data.toString("latin1").split("\r\n\r\n");
        const rewritten = rewrite(head);
        if (rewritten === undefined) return sender.destroy();
        endpoint.write([rewritten, ...rest].join("\r\n\r\n"), "latin1");
        return sender.pipe(endpoint).pipe(sender);
      });
    });
    await once(front.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void front.close());
    return { ...options, url: `http://127.0.0.1:${(front.address() as AddressInfo).port}/webhook` };
  };
  const LENGTH = /\r\ncontent-length: \d+/gi;
  const only = ["http-length-twice", "http-pipelined", "end-alive"];

  test.for(BOTH)("that believes the first of two lengths is found out: %s", async (provider, test) => {
    const options = await inFront(test.onTestFinished, provider, (head) => {
      return head.replace(LENGTH, "") + (head.match(LENGTH)?.[0] ?? "");
    });
    expect(named((await audit({ ...options, only })).results, "failed")).toEqual(["http-length-twice"]);
  });

  test.for(BOTH)("that hangs up at two lengths passes: %s", async (provider, test) => {
    const options = await inFront(test.onTestFinished, provider, (head) => {
      return head.match(LENGTH)?.length === 2 ? undefined : head;
    });
    expect(notPassed(await audit({ ...options, only }))).toEqual([]);
  });
});

describe("a mutant of our own code", () => {
  const folder = mkdtempSync(join(import.meta.dirname, ".tmp-mutants-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const packages = fileURLToPath(new URL("../packages/", import.meta.url));
  const core = `${packages}core/src/`;

  /** The path of a file of core, in whichever folder it is. */
  function coreFile(name: string): string {
    const found = readdirSync(core, { recursive: true, encoding: "utf8" }).find(
      (file) => basename(file) === name,
    );
    if (found === undefined) throw new Error(`core has no file ${name}.`);
    return core + found;
  }

  /** The adapter for node:http, from its sources. */
  async function bundled(name: string, mutation: Plugin): Promise<typeof nodeAdapter> {
    const outfile = join(folder, `${name}.mjs`);
    const fromSource: Plugin = {
      name: "from source",
      setup({ onResolve }) {
        onResolve({ filter: /^#(hmac|diagnostics)$/ }, ({ path }) => ({
          path: coreFile(`${path.slice(1)}.node.ts`),
        }));
        onResolve({ filter: /^@crowdhook\/core/ }, ({ path }) => {
          const [, , entry = "index"] = path.split("/");
          const isProvider = entry === "toloka" || entry === "prolific";
          return { path: `${core}${isProvider ? `providers/${entry}/index` : entry}.ts` };
        });
      },
    };
    await build({
      entryPoints: [`${packages}node/src/index.ts`],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      plugins: [mutation, fromSource],
    });
    return import(pathToFileURL(outfile).href);
  }

  /** Puts a module in place of another one, whose exports it has but for those that are replaced. */
  function replacing(filter: RegExp, file: string, replacement: string) {
    const replaced: string[] = [];
    const plugin: Plugin = {
      name: "mutation",
      setup({ onResolve, onLoad }) {
        onResolve({ filter }, ({ importer }) => {
          if (!importer.startsWith(core)) return undefined;
          replaced.push(importer);
          return { path: file, namespace: "mutant" };
        });
        onLoad({ filter: /.*/, namespace: "mutant" }, () => ({
          contents: `import * as real from ${JSON.stringify(file)};
            export * from ${JSON.stringify(file)};
            ${replacement}`,
          resolveDir: core,
        }));
      },
    };
    return { plugin, replaced };
  }

  /** The checks that fail for an adapter. */
  async function failing(
    adapter: typeof nodeAdapter,
    provider: EndpointProvider,
    onTestFinished: OnTestFinished,
    checks = checksOf(provider).filter(isQuick),
  ): Promise<readonly string[]> {
    const webhook = adapter[`${provider}Webhook`](secrets);
    const handled: string[] = [];
    webhook.onAny(({ id }) => handled.push(id));
    const origin = await serving(onTestFinished, (request, response) => {
      if (request.url === "/handled") response.end(JSON.stringify({ handled }));
      else void webhook(request, response);
    });
    const url = `${origin}/${provider}-webhook`;
    const { results } = await audit({
      url,
      provider,
      secrets,
      report: `${origin}/handled`,
      only: idsOf(checks),
      timeout: 30,
    });
    return named(results, "failed");
  }

  test("is none if nothing is changed", LONG, async ({ onTestFinished }) => {
    const adapter = await bundled("unchanged", { name: "none", setup() {} });
    for (const provider of BOTH) expect(await failing(adapter, provider, onTestFinished)).toEqual([]);
  });

  test("that verifies no signature is found out", LONG, async ({ onTestFinished }) => {
    const { plugin, replaced } = replacing(
      /^#hmac$/,
      coreFile("hmac.node.ts"),
      `if (typeof real.verify !== "function") throw new Error("#hmac has no verify any more.");
       export const verify = () => true;`,
    );
    const adapter = await bundled("verify", plugin);
    expect(replaced).not.toEqual([]);
    const forged = ["signature-other-secret", "signature-no-secret", "signature-other-body"];
    const changed = ["time-changed", "body-rewritten", "body-mark-added"];
    const cut = ["signature-cut-at-end", "signature-cut-in-front"];
    const fails = {
      toloka: [...cut, ...forged, "signature-other-version", ...changed],
      // What cannot be a signature of Prolific's is refused before it is verified.
      prolific: [...forged, ...changed],
    };
    for (const provider of BOTH) {
      expect(await failing(adapter, provider, onTestFinished)).toEqual(fails[provider]);
    }
  });

  test("that forgets what is done is found out", LONG, async ({ onTestFinished }) => {
    const { plugin, replaced } = replacing(
      /^\.\/done\.js$/,
      coreFile("done.ts"),
      `if (typeof real.DoneKeys !== "function") throw new Error("There is no DoneKeys any more.");
       export class DoneKeys { until() { return Number.NEGATIVE_INFINITY; } set() {} }`,
    );
    const adapter = await bundled("claims", plugin);
    expect(replaced).not.toEqual([]);
    const again = ["once-same-delivery", "once-signed-anew", "once-concurrent"];
    const fails = {
      toloka: [...again, "once-among-others", "end-nothing-twice"],
      prolific: [...again, "once-other-id", "end-nothing-twice"],
    };
    for (const provider of BOTH) {
      expect(await failing(adapter, provider, onTestFinished)).toEqual(fails[provider]);
    }
  });

  test("that limits no body is found out", LONG, async ({ onTestFinished }) => {
    let times = 0;
    const plugin: Plugin = {
      name: "mutation",
      setup({ onLoad }) {
        onLoad({ filter: /core\/src\/.+\.ts$/ }, ({ path }) => ({
          contents: readFileSync(path, "utf8").replace(/\bmaxBodySize = [\d_ *]+/g, () => {
            times++;
            return "maxBodySize = Number.POSITIVE_INFINITY";
          }),
          loader: "ts",
        }));
      },
    };
    const adapter = await bundled("limit", plugin);
    expect(times).toBe(1);
    for (const provider of BOTH) {
      const fails = ["size-limit", "size-limit-chunked", "size-status"];
      expect(await failing(adapter, provider, onTestFinished, checksOf(provider))).toEqual(fails);
    }
  });
});

/** Without what takes long, where it would find nothing. */
function isQuick({ id, group }: Check): boolean {
  return group !== "size" && id !== "http-slow";
}
