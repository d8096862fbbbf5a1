import type { AuditReport, ProviderName } from "@crowdhook/audit";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { audited, EXAMPLES, HANDLERS, type Handler } from "./audited/handlers.js";

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

function handler(name: string, provider: ProviderName = "toloka"): Handler {
  const found = HANDLERS.find((handler) => handler.name === name && handler.provider === provider);
  if (!found) throw new Error(`There is no handler ${name}.`);
  return found;
}

function failedMusts({ results }: AuditReport): string[] {
  return results.filter(({ level, status }) => level === "MUST" && status === "failed").map(({ id }) => id);
}

/** All that there is to ask for where there is one secret. */
function expectAllPassed({ verdict, results }: AuditReport): void {
  const open = results.filter(({ status, needs }) => status !== "passed" && needs !== "two secrets");
  expect(open).toEqual([]);
  expect(verdict).toBe("safe");
}

/** What happens where nothing remembers which events were handled. */
const TWICE = [
  "once-same-delivery",
  "once-signed-anew",
  "once-concurrent",
  "once-in-a-delivery",
  "once-among-others",
  "end-nothing-twice",
];
/** Toloka's documentation has no word about them. */
const SHORT = ["signature-short", "signature-shorter"];

test("a handler that parses before it verifies loses genuine events, and takes bytes that nobody signed", async () => {
  const report = await audited(handler("parsed, then signed"));
  expect(report.verdict).toBe("unsafe");
  expect(failedMusts(report)).toEqual(
    expect.arrayContaining([
      ...TWICE,
      ...SHORT,
      "signature-other-body",
      "body-indented",
      "body-escapes",
      "body-not-ascii",
      "body-rewritten",
      "size-200-kb",
      "size-4-mb",
    ]),
  );
});

test("a handler written with care fails at events that come again and at short signatures, and at no other MUST", async () => {
  const report = await audited(handler("by hand, with care"));
  expect(failedMusts(report).sort()).toEqual([...TWICE, ...SHORT].sort());
  const old = report.results.find(({ id }) => id === "time-old");
  expect(old?.status).toBe("failed");
});

test("one that remembers ids in a Set still handles an event again that comes several times at once", async () => {
  const report = await audited(handler("by hand, with a Set"));
  expect(failedMusts(report).sort()).toEqual([...SHORT, "once-concurrent", "end-nothing-twice"].sort());
});

test.each(["toloka", "prolific"] as const)(
  "crowdhook on Express passes every check for %s",
  async (provider) => {
    expectAllPassed(await audited(handler("crowdhook, express", provider)));
  },
);

for (const example of EXAMPLES) {
  const { name, missing } = example;
  if (missing) console.warn(missing);
  test.skipIf(missing)(`${name} passes every check ${missing ?? ""}`, async () => {
    expectAllPassed(await audited(example));
  });
}
