import { escapeControls, escapeControlsInJson } from "@crowdhook/core/internal";
import type { AuditReport, CheckResult } from "./audit.js";

// Both libraries load on first use, because an audit needs neither.

/**
 * Returns a report as JUnit XML, with one suite per group. Only a failed MUST is a failure there. JUnit
 * has no warnings, so a failed SHOULD or MAY is skipped and its output says that it failed.
 */
export async function toJUnit({ provider, results }: AuditReport): Promise<string> {
  const { default: junit } = await import("junit-report-builder");
  const builder = junit.newBuilder();
  for (const group of new Set(results.map(({ group }) => group))) {
    const suite = builder.testSuite().name(`${provider} ${group}`);
    for (const result of results) {
      if (result.group !== group) continue;
      const { id, level, requirement, reason, page } = result;
      const test = suite.testCase().className(`${provider}.${group}`).name(`${id}: ${requirement}`);
      if (result.status === "skipped")
        test.skipped().standardOutput(`${level}, skipped: ${escapeControls(result.why)}`);
      if (result.status !== "failed") continue;
      const [expected, seen] = [result.expected, result.seen].map(escapeControls);
      const text = `${level}: ${reason}\nExpected: ${expected}\nSeen: ${seen}\nPage: ${page}`;
      if (level === "MUST") test.failure(text, level);
      else test.skipped().standardOutput(text);
    }
  }
  return builder.build();
}

/**
 * Returns a report as TAP 14, with one line per check. Only a failed MUST fails there. A failed SHOULD or MAY
 * has the directive TODO, so that it is visible and does not fail a build.
 */
export function toTap({ results }: AuditReport): string {
  const lines = results.flatMap((result, index) => [tapLine(result, index + 1), ...tapDiagnosis(result)]);
  return `${["TAP version 14", `1..${results.length}`, ...lines].join("\n")}\n`;
}

function tapLine(result: CheckResult, number: number): string {
  const { id, level, requirement, status } = result;
  const point = `${status === "failed" ? "not ok" : "ok"} ${number} - ${tapText(`${id}: ${requirement}`)}`;
  if (result.status === "skipped") return `${point} # SKIP ${tapText(result.why)}`;
  return status === "failed" && level !== "MUST" ? `${point} # TODO ${level}` : point;
}

/** Returns the diagnosis of a failed check as YAML, which has every JSON text as a scalar. */
function tapDiagnosis(result: CheckResult): readonly string[] {
  if (result.status !== "failed") return [];
  const { level, reason, source, page, expected, seen } = result;
  const fields = Object.entries({ level, reason, source, page, expected, seen });
  const written = fields.map(([name, value]) => `  ${name}: ${escapeControlsInJson(JSON.stringify(value))}`);
  return ["  ---", ...written, "  ..."];
}

/** In a line of TAP, `#` begins a directive and a line break ends the line. */
function tapText(text: string): string {
  return escapeControls(text).replace(/[\\#]/g, "\\$&");
}

/** Returns the verdict as an SVG badge. */
export async function toBadge({ provider, verdict, counts: { MUST } }: AuditReport): Promise<string> {
  const { makeBadge } = await import("badge-maker");
  const all = MUST.passed + MUST.failed + MUST.skipped;
  return makeBadge({
    label: `${provider} webhook`,
    ...{
      safe: { message: "safe", color: "brightgreen" },
      unsafe: { message: `unsafe: ${MUST.failed} of ${all} failed`, color: "red" },
      unproven: { message: `unproven: ${MUST.passed} of ${all} passed`, color: "yellow" },
    }[verdict],
  });
}
