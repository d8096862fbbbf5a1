import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { audit, CHECKS, type CheckResult } from "@crowdhook/audit";
import { describe, expect, test } from "vitest";
import {
  checksOf,
  idsOf,
  idsWith,
  isQuick,
  LONG,
  notPassed,
  secrets,
  startPlainEndpoint,
} from "./audit-runs.js";
import { handlerOf, PlainEndpoint, SECRETS } from "./plain-endpoint.js";

describe("AuditReport", () => {
  test(
    "is unproven without a report route, and skips the checks that need it",
    LONG,
    async ({ onTestFinished }) => {
      const { report: _, ...options } = await startPlainEndpoint(onTestFinished, "toloka");
      const only = idsOf(checksOf("toloka").filter(isQuick));
      const report = await audit({ ...options, secrets: secrets.slice(0, 1), only });
      const needing = CHECKS.filter(({ needs, providers }) => needs && providers.includes("toloka"));
      expect(idsWith("skipped", report)).toEqual(idsOf(needing));
      expect(report.results.find(({ id }) => id === "once-concurrent")).toMatchObject({
        status: "skipped",
        why: "there is no report route",
      });
      expect(idsWith("failed", report)).toEqual([]);
      expect(report.verdict).toBe("unproven");
    },
  );

  test("is safe for an endpoint with one secret", LONG, async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "prolific");
    const report = await audit({ ...options, secrets: secrets.slice(0, 1), timeout: 30 });
    expect(notPassed(report)).toMatchObject([
      { id: "signature-second-secret", status: "skipped", why: "there is one secret only" },
    ]);
    expect(report.verdict).toBe("safe");
  });

  test("contains the checks of `only` in their usual order, and `onResult` gets each result", async ({
    onTestFinished,
  }) => {
    const reported: CheckResult[] = [];
    const options = await startPlainEndpoint(onTestFinished, "toloka");
    const only = ["time-old", "signature-missing"];
    const { results, verdict } = await audit({
      ...options,
      only,
      onResult: (result) => reported.push(result),
    });
    expect(idsOf(results)).toEqual(["signature-missing", "time-old"]);
    expect(reported).toEqual(results);
    expect(verdict).toBe("unproven");
  });

  test("does not contain the query of the URL", async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "toloka", (endpoint) => {
      endpoint.refusal = () => undefined;
    });
    const report = await audit({ ...options, url: `${options.url}?token=t0ken`, only: ["signature-good"] });
    expect(report.url).toBe(options.url);
    expect(JSON.stringify(report)).not.toContain("t0ken");
  });

  test("quotes an answer without secrets and control characters", async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "toloka", (endpoint) => {
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

  test("fails reply-secret for every encoding of a secret, but not for longer numbers that contain it", async ({
    onTestFinished,
  }) => {
    const secret = 'pass"word\\ 1';
    const leaks = [
      JSON.stringify({ secret }),
      `secret=${encodeURIComponent(secret)}`,
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("hex"),
    ];
    const failsFor = async (secret: string, text: string) => {
      const { report, ...options } = await startPlainEndpoint(onTestFinished, "toloka", (endpoint) => {
        endpoint.secrets = [secret];
        endpoint.forged = () => ({ status: 401, text });
      });
      return idsWith("failed", await audit({ ...options, secrets: [secret], only: ["reply-secret"] }));
    };
    for (const leak of leaks) expect(await failsFor(secret, leak)).toEqual(["reply-secret"]);
    expect(await failsFor("12345", "at 1712345678, id a12345b")).toEqual([]);
    expect(await failsFor("12345", "not 12345!")).toEqual(["reply-secret"]);
  });

  test.for(["before", "after"] as const)(
    "names the check that made the endpoint restart %s its answer",
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
      expect(idsWith("failed", { results })).toEqual(
        when === "before" ? ["body-null", "end-alive"] : ["end-alive"],
      );
    },
  );
});

describe("audit ends", () => {
  test("early after five requests that timed out", LONG, async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "toloka", (endpoint) => {
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

  test("when its signal aborts", LONG, async ({ onTestFinished }) => {
    const options = await startPlainEndpoint(onTestFinished, "toloka", (endpoint) => {
      endpoint.forged = () => new Promise<never>(() => {});
    });
    const controller = new AbortController();
    const audited = audit({
      ...options,
      timeout: 60,
      signal: controller.signal,
      onResult: ({ id }) => {
        // The next check sends the first request that the endpoint does not answer.
        if (id === "signature-second-secret") controller.abort(new Error("enough"));
      },
    });
    await expect(audited).rejects.toThrow("enough");
  });
});
