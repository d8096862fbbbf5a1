import { audit } from "@crowdhook/audit";
import { describe, expect, test } from "vitest";
import {
  checksOf,
  idsOf,
  idsWith,
  isQuick,
  LONG,
  type OnTestFinished,
  PROVIDERS,
  startPlainEndpoint,
} from "./audit-runs.js";
import { FLAWS, type Flaw } from "./broken-endpoints.js";
import type { EndpointProvider } from "./plain-endpoint.js";

async function expectFailedChecks(flaw: Flaw, provider: EndpointProvider, onTestFinished: OnTestFinished) {
  const { breaks, fails, slow = "" } = flaw;
  const checks = checksOf(provider).filter((check) => {
    return isQuick(check) || slow === "all" || slow.split(" ").includes(check.id);
  });
  const options = await startPlainEndpoint(onTestFinished, provider, breaks);
  const report = await audit({ ...options, only: idsOf(checks), timeout: slow ? 30 : 5 });
  expect(idsWith("failed", report)).toEqual(fails[provider]?.trim().split(/\s+/));
  const isUnsafe = report.results.some(({ level, status }) => level === "MUST" && status === "failed");
  expect(report.verdict === "unsafe").toBe(isUnsafe);
  // The report contains no secret and no signature.
  expect(JSON.stringify(report)).not.toMatch(/s3cret|\b[0-9a-f]{60,64}\b|[\w+/]{43}=/);
}

const cases = FLAWS.flatMap((flaw) =>
  PROVIDERS.flatMap((provider) =>
    flaw.fails[provider] === undefined ? [] : [{ flaw, provider, name: flaw.name }],
  ),
);

describe.concurrent("audit reports exactly the failed checks of an endpoint that", () => {
  test.for(cases.filter(({ flaw }) => !flaw.slow))(
    "$name ($provider)",
    LONG,
    ({ flaw, provider }, { onTestFinished }) => expectFailedChecks(flaw, provider, onTestFinished),
  );
});

// Not concurrent: large bodies keep this process busy, so the answers to other tests would be late.
describe("audit with slow checks reports exactly the failed checks of an endpoint that", () => {
  test.for(cases.filter(({ flaw }) => flaw.slow))(
    "$name ($provider)",
    LONG,
    ({ flaw, provider }, { onTestFinished }) => expectFailedChecks(flaw, provider, onTestFinished),
  );
});
