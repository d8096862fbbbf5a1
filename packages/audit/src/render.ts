import { escapeControls } from "@crowdhook/core/internal";
import type { AuditReport } from "./audit.js";

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
      const { id, level, requirement, reason } = result;
      const test = suite.testCase().className(`${provider}.${group}`).name(`${id}: ${requirement}`);
      if (result.status === "skipped")
        test.skipped().standardOutput(`${level}, skipped: ${escapeControls(result.why)}`);
      if (result.status !== "failed") continue;
      const [expected, seen] = [result.expected, result.seen].map(escapeControls);
      const text = `${level}: ${reason}\nExpected: ${expected}\nSeen: ${seen}`;
      if (level === "MUST") test.failure(text, level);
      else test.skipped().standardOutput(text);
    }
  }
  return builder.build();
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
