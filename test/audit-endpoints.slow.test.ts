import { setTimeout } from "node:timers/promises";
import { audit } from "@crowdhook/audit";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  checksOf,
  idsOf,
  isQuick,
  LONG,
  notPassed,
  PROVIDERS,
  secrets,
  startPlainEndpoint,
  startServer,
} from "./audit-runs.js";
import { TARGETS } from "./targets.js";

// Receivers log the deliveries that they refuse.
beforeAll(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

describe.each(TARGETS.filter(({ name }) => name !== "core"))("audit of the adapter for $name", (target) => {
  test.for(PROVIDERS)("passes every check of %s", LONG, async (provider, { onTestFinished }) => {
    const running = await target.start({ secret: secrets });
    onTestFinished(running.close);
    const handled: string[] = [];
    for (const webhook of [running.webhook, running.prolific]) webhook.onAny(({ id }) => handled.push(id));
    const report = await startServer(onTestFinished, (_, response) =>
      response.end(JSON.stringify({ handled })),
    );
    const url = `${running.origin}/${provider}-webhook`;
    const result = await audit({ url, provider, secrets, report, timeout: 30 });
    expect(notPassed(result)).toEqual([]);
    expect(idsOf(result.results)).toEqual(idsOf(checksOf(provider)));
    expect(result.verdict).toBe("safe");
  });
});

describe("audit of an endpoint without crowdhook", () => {
  test.for(PROVIDERS)(
    "passes every check of %s if the endpoint is correct",
    LONG,
    async (provider, { onTestFinished }) => {
      const { results, ...report } = await audit({
        ...(await startPlainEndpoint(onTestFinished, provider)),
        timeout: 30,
      });
      expect(results.filter(({ status }) => status !== "passed")).toEqual([]);
      const passed = results.filter(({ level }) => level === "MUST").length;
      const counts = { MUST: { passed, failed: 0, skipped: 0 } };
      expect(report).toMatchObject({ provider, verdict: "safe", counts });
    },
  );

  test.for(PROVIDERS)(
    "passes if the endpoint handles events of %s after its answer",
    LONG,
    async (provider, { onTestFinished }) => {
      const options = await startPlainEndpoint(onTestFinished, provider, (endpoint) => {
        const { handle } = endpoint;
        let queue = Promise.resolve<unknown>(undefined);
        endpoint.handle = (event) => {
          queue = queue.then(() => setTimeout(1)).then(() => handle.call(endpoint, event));
          return true;
        };
      });
      const only = idsOf(checksOf(provider).filter(isQuick));
      expect(notPassed(await audit({ ...options, only, timeout: 30 }))).toEqual([]);
    },
  );

  test.for(PROVIDERS)(
    "accepts a report that lists events of %s without an id",
    async (provider, { onTestFinished }) => {
      const options = await startPlainEndpoint(onTestFinished, provider, (endpoint) => {
        const { handle } = endpoint;
        endpoint.handle = (event) => {
          if (typeof event.id === "string" && event.id !== "") return handle.call(endpoint, event);
          endpoint.handled.push(event.id as string);
          return true;
        };
      });
      const only = ["event-misfit", "once-same-delivery", "end-nothing-twice"];
      expect(notPassed(await audit({ ...options, only }))).toEqual([]);
    },
  );
});
