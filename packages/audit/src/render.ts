import type { AuditReport } from "./audit.js";

// What writes them is imported when it is asked for: an audit takes neither.

/**
 * A report as JUnit XML: a suite for each group. Only what is a MUST fails there; what is not, and
 * failed, is among the skipped, and says so in its output.
 */
export async function toJUnit({ provider, results }: AuditReport): Promise<string> {
  const { default: junit } = await import("junit-report-builder");
  const builder = junit.newBuilder();
  for (const group of new Set(results.map(({ group }) => group))) {
    const suite = builder.testSuite().name(`${provider} ${group}`);
    for (const result of results) {
      if (result.group !== group) continue;
      const { id, level, what, reason } = result;
      const test = suite.testCase().className(`${provider}.${group}`).name(`${id}: ${what}`);
      if (result.status === "skipped") test.skipped().standardOutput(`${level}, skipped: ${result.why}`);
      if (result.status !== "failed") continue;
      const { expected, seen } = result;
      const text = `${level}: ${reason}\nExpected: ${expected}\nSeen: ${seen}`;
      if (level === "MUST") test.failure(text, level);
      else test.skipped().standardOutput(text);
    }
  }
  return builder.build();
}

/** The verdict as a badge: SVG. */
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
