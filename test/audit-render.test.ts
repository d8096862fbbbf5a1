import { type AuditReport, audit, toBadge, toJUnit, toTap } from "@crowdhook/audit";
import { type FinalResults, Parser, type Result } from "tap-parser";
import { describe, expect, test } from "vitest";
import { type OnTestFinished, secrets, startPlainEndpoint } from "./audit-runs.js";
import type { PlainEndpoint } from "./plain-endpoint.js";

describe("rendering", () => {
  const reportOf = async (onTestFinished: OnTestFinished, change?: (endpoint: PlainEndpoint) => unknown) =>
    audit({
      ...(await startPlainEndpoint(onTestFinished, "toloka", change)),
      secrets: secrets.slice(0, 1),
      only: [
        "signature-good",
        "signature-second-secret",
        "signature-missing",
        "signature-status",
        "time-old",
      ],
    });
  const breakEndpoint = (endpoint: PlainEndpoint) => {
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

  test("toJUnit reports only a failed MUST as a failure", async ({ onTestFinished }) => {
    const xml = await toJUnit(await reportOf(onTestFinished, breakEndpoint));
    expect(elementsOf(xml).filter((name) => name === "testcase")).toHaveLength(5);
    expect(elementsOf(xml).filter((name) => name === "failure")).toHaveLength(1);
    expect(elementsOf(xml).filter((name) => name === "skipped")).toHaveLength(2);
    expect(xml).toMatch(/<testsuites tests="5" failures="1" errors="0" skipped="2">/);
    expect(xml).toMatch(/name="signature-missing: [^"]+">\s*<failure message="MUST: [^"]*200, &lt;&amp;/);
    expect(xml).toMatch(/name="time-old: [^"]+">\s*<skipped\/>\s*<system-out><!\[CDATA\[SHOULD: /);
    expect(xml).not.toContain("\u0000");
  });

  test("toTap reports a failed MUST as a failure, and a failed SHOULD as TODO", async ({
    onTestFinished,
  }) => {
    const report = await reportOf(onTestFinished, breakEndpoint);
    const { results, asserts } = parseTap(toTap(report));
    // The parser counts a TODO among the failures and a SKIP among the passes, too.
    expect(results).toMatchObject({ ok: false, count: 5, pass: 3, fail: 2, skip: 1, todo: 1 });
    expect(asserts.map(({ name, skip, todo }) => [name.split(":")[0], skip, todo])).toEqual([
      ["signature-good", false, false],
      ["signature-second-secret", "there is one secret only", false],
      ["signature-missing", false, false],
      ["signature-status", false, false],
      ["time-old", false, "SHOULD"],
    ]);
    const failed = report.results.find(({ id }) => id === "signature-missing");
    const { level, reason, source, page } = failed ?? {};
    expect(asserts[2]?.diag).toEqual({
      level,
      reason,
      source,
      page,
      expected: "a refusal, not 2xx",
      // The report has no control characters.
      seen: "200, <&\"'\uFFFD]]>",
    });
  });

  test.for([
    ..."\n\r\u0085\u2028\u0000\u001b\u202e\ud800#\\\"'",
    "# TODO",
    "\\# SKIP",
    "\n...\nok 2 - more\nBail out!",
    "\n  ---",
    "x\r\n1..9",
    "%s",
  ])("toTap keeps %j within its test point and its field", (hostile) => {
    const text = `before${hostile}after`;
    const of = { group: "x", providers: [], level: "MUST", source: text, page: text } as const;
    const failed = { ...of, requirement: text, reason: text, status: "failed", expected: text, seen: text };
    const results = [
      { ...failed, id: "one" },
      { ...of, id: "two", requirement: text, reason: text, status: "skipped", why: text },
      { ...of, id: "three", requirement: text, reason: text, status: "passed" },
    ];
    const tap = toTap({ results } as unknown as AuditReport);
    expect(tap.split("\n").join("")).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    const parsed = parseTap(tap);
    expect(parsed.results).toMatchObject({ count: 3, pass: 2, fail: 1, skip: 1, todo: 0 });
    const { diag, name } = parsed.asserts[0] ?? {};
    expect(diag).toEqual({
      level: "MUST",
      reason: text,
      source: text,
      page: text,
      expected: text,
      seen: text,
    });
    expect(name).toMatch(/^one: before.*after$/);
  });

  test.for([
    ["unproven", undefined, "unproven: 2 of 3 passed"],
    ["unsafe", breakEndpoint, "unsafe: 1 of 3 failed"],
  ] as const)("toBadge shows the verdict %s", async ([verdict, change, message], { onTestFinished }) => {
    const report = await reportOf(onTestFinished, change);
    expect(report.verdict).toBe(verdict);
    const svg = await toBadge(report);
    expect(elementsOf(svg)[0]).toBe("svg");
    expect(svg).toContain(`toloka webhook: ${message}`);
    expect(await toBadge({ ...report, verdict: "safe" })).toContain("toloka webhook: safe");
  });

  /** Parses TAP with another implementation. Fails if it is not TAP 14. */
  function parseTap(tap: string): { results: FinalResults; asserts: readonly Result[] } {
    const asserts: Result[] = [];
    let results: FinalResults | undefined;
    const parser = new Parser({ strict: true }, (final) => {
      results = final;
    });
    parser.on("assert", (each) => asserts.push(each));
    parser.end(tap);
    if (results === undefined) throw new Error("The parser did not finish.");
    const failures = results.failures.filter((failure) => "tapError" in failure && failure.tapError);
    expect(failures).toEqual([]);
    return { results, asserts };
  }

  /** Returns the names of the elements in an XML document. Fails if the document is not well-formed. */
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
