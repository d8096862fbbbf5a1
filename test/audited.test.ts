import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { audited, failedMusts, openResults } from "./audited/handler.js";
import { EXAMPLES, handlerNamed } from "./audited/handlers.js";

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** All checks take some seconds, and longer while other tests run. */
const LONG = { timeout: 60_000 };

/** Toloka's documentation does not mention short signatures. */
const SHORT = ["signature-short", "signature-shorter"];
/** The checks that fail if a handler does not remember the events that it handled. */
const TWICE = [
  "once-same-delivery",
  "once-signed-anew",
  "once-concurrent",
  "once-in-a-delivery",
  "once-among-others",
  "end-nothing-twice",
];

test("a handler that parses before it verifies loses genuine events and accepts bytes that nobody signed", async () => {
  const lost = ["body-indented", "body-escapes", "body-not-ascii", "size-200-kb", "size-4-mb"];
  const accepted = ["signature-other-body", "body-rewritten", "body-decoded", "body-mark-added"];
  const expected = [...SHORT, ...TWICE, ...lost, ...accepted].sort();
  const report = await audited(handlerNamed("toloka", "parsed, then signed"), expected);
  expect(report.verdict).toBe("unsafe");
  expect([...failedMusts(report)].sort()).toEqual(expected);
});

test("a careful handler fails only the MUSTs about short signatures and repeated events", LONG, async () => {
  const report = await audited(handlerNamed("toloka", "by hand, with care"));
  expect(failedMusts(report)).toEqual([...SHORT, ...TWICE]);
  expect(report.results.find(({ id }) => id === "time-old")?.status).toBe("failed");
});

test("a handler with a Set of ids handles an event again if it is delivered several times at once", async () => {
  const report = await audited(handlerNamed("toloka", "by hand, with a Set"), TWICE);
  expect(failedMusts(report)).toEqual(["once-concurrent", "end-nothing-twice"]);
});

for (const example of EXAMPLES) {
  const { name, missing } = example;
  if (missing) console.warn(missing);
  test.skipIf(missing)(`${name} passes every check ${missing ?? ""}`, LONG, async () => {
    const report = await audited(example);
    expect(openResults(report)).toEqual([]);
    expect(report.verdict).toBe("safe");
  });
}
