import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LONG } from "./audit-runs.js";
import { audited, failedMusts, openResults } from "./audited/handler.js";
import { handlerNamed, OURS } from "./audited/handlers.js";

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

/**
 * Both libraries turn the body into text and parse the time before they compute the signature. Neither
 * remembers handled ids.
 */
const STANDARD_WEBHOOKS = [
  "time-changed",
  "body-decoded",
  "once-same-delivery",
  "once-signed-anew",
  "once-concurrent",
  "end-nothing-twice",
];
const CVAT = [
  "once-same-delivery",
  "once-concurrent",
  "once-each-body",
  "once-after-others",
  "end-nothing-twice",
];

const DOCUMENTED = [
  { provider: "standard-webhooks", name: "standardwebhooks", fails: STANDARD_WEBHOOKS },
  { provider: "standard-webhooks", name: "svix", fails: STANDARD_WEBHOOKS },
  { provider: "cvat", name: "as documented by CVAT", fails: CVAT },
  // It gets the body as text, so it computes the signature over the decoded body.
  { provider: "cvat", name: "@octokit/webhooks", fails: ["body-decoded", ...CVAT] },
];

for (const { provider, name, fails } of DOCUMENTED) {
  const handler = handlerNamed(provider, name);
  const { missing } = handler;
  if (missing) console.warn(missing);
  test.skipIf(missing)(
    `the documented example "${name}" for ${provider} handles events twice ${missing ?? ""}`,
    LONG,
    async () => {
      const report = await audited(handler);
      expect(failedMusts(report)).toEqual(fails);
      expect(report.verdict).toBe("unsafe");
    },
  );
}

const providers = new Set(DOCUMENTED.map(({ provider }) => provider));
const ours = OURS.map((handler) => [handler.name, handler.sender.provider.name, handler] as const).filter(
  ([, provider]) => providers.has(provider),
);

test.each(ours)("the audit finds %s safe for %s", LONG, async (_name, _provider, handler) => {
  const report = await audited(handler);
  expect(openResults(report)).toEqual([]);
  expect(report.verdict).toBe("safe");
});
