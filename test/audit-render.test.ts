import { audit, toBadge, toJUnit } from "@crowdhook/audit";
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
