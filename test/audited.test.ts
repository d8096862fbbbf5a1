import type { AuditReport } from "@crowdhook/audit";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { audited, EXAMPLES, HANDLERS, type Handler } from "./audited/handlers.js";

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

function ofToloka(name: string): Handler {
  const found = HANDLERS.find((handler) => handler.name === name && handler.provider === "toloka");
  if (!found) throw new Error(`There is no handler ${name}.`);
  return found;
}

function failedMusts({ results }: AuditReport): string[] {
  return results.filter(({ level, status }) => level === "MUST" && status === "failed").map(({ id }) => id);
}

/** All checks take some seconds, and more beside other tests. */
const LONG = { timeout: 60_000 };

/** Toloka's documentation has no word about them. */
const SHORT = ["signature-short", "signature-shorter"];
/** What fails where nothing remembers which events were handled. */
const TWICE = [
  "once-same-delivery",
  "once-signed-anew",
  "once-concurrent",
  "once-in-a-delivery",
  "once-among-others",
  "end-nothing-twice",
];

test("a handler that parses before it verifies loses genuine events, and takes bytes that nobody signed", async () => {
  const lost = ["body-indented", "body-escapes", "body-not-ascii", "size-200-kb", "size-4-mb"];
  const taken = ["signature-other-body", "body-rewritten", "body-decoded", "body-mark-added"];
  const expected = [...SHORT, ...TWICE, ...lost, ...taken].sort();
  const report = await audited(ofToloka("parsed, then signed"), expected);
  expect(report.verdict).toBe("unsafe");
  expect(failedMusts(report).sort()).toEqual(expected);
});

test(
  "a handler written with care fails at short signatures and at events that come again, and at no other MUST",
  LONG,
  async () => {
    const report = await audited(ofToloka("by hand, with care"));
    expect(failedMusts(report)).toEqual([...SHORT, ...TWICE]);
    expect(report.results.find(({ id }) => id === "time-old")?.status).toBe("failed");
  },
);

test("one that remembers ids in a Set still handles an event again that comes several times at once", async () => {
  const report = await audited(ofToloka("by hand, with a Set"), TWICE);
  expect(failedMusts(report)).toEqual(["once-concurrent", "end-nothing-twice"]);
});

for (const example of EXAMPLES) {
  const { name, missing } = example;
  if (missing) console.warn(missing);
  test.skipIf(missing)(`${name} passes every check ${missing ?? ""}`, LONG, async () => {
    const { verdict, results } = await audited(example);
    // There is one secret.
    const open = results.filter(({ status, needs }) => status !== "passed" && needs !== "two secrets");
    expect(open).toEqual([]);
    expect(verdict).toBe("safe");
  });
}
