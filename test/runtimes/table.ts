import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from "vitest/node";
import { ADAPTERS, RUNTIMES, type Runtime } from "./runtimes.js";

const FILE = fileURLToPath(new URL("../../docs/reference/runtimes.md", import.meta.url));
/** The test run writes the text between these markers. The rest is written by hand. */
const MEASURED = /(?<=<!-- measured -->\n)[\s\S]*(?=<!-- \/measured -->)/;

/** "15 of 16" checks passed, by `runtime · adapter ·`. */
type Counts = ReadonlyMap<string, string>;

/** Prints the number of passed checks, and writes it into `docs/reference/runtimes.md` if all of them ran. */
export default class Table implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    _errors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const suites = modules.flatMap((module) => [...module.children.suites()]);
    const counts = new Map(
      suites.map((suite) => {
        const tests = [...suite.children.allTests()];
        // A test that is expected to fail passes by failing, but its check does not hold.
        const held = tests.filter((test) => test.result().state === "passed" && !test.options.fails);
        return [suite.name, `${held.length} of ${tests.length}`];
      }),
    );
    const table = tableOf(counts);
    console.log(`\n${table}`);
    const all = suites.flatMap((suite) => [...suite.children.allTests()]);
    if (reason !== "passed" || all.some((test) => test.result().state !== "passed")) {
      console.log("docs/reference/runtimes.md is unchanged, because not every check ran and passed.");
      return;
    }
    const today = new Date().toISOString().slice(0, 10);
    const run = `Measured on ${today}, on ${process.platform} ${process.arch}, by \`pnpm test:runtimes\`. Deliveries were sent, and edge-runtime was run, by Node ${process.versions.node}.`;
    const text = readFileSync(FILE, "utf8");
    writeFileSync(
      FILE,
      text.replace(MEASURED, () => `\n${table}\n\n${run}\n\n${lacksOf(RUNTIMES)}\n\n`),
    );
  }
}

function tableOf(counts: Counts): string {
  const columns = [...ADAPTERS, "packages"];
  const rows = RUNTIMES.map(({ title }) => [
    title,
    ...columns.map((column) => counts.get(`${title} · ${column} ·`) ?? "–"),
  ]);
  return [["runtime", ...columns], ["---", ...columns.map(() => "---")], ...rows]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
}

function lacksOf(runtimes: readonly Runtime[]): string {
  const lines = runtimes.flatMap(({ title, lacks }) =>
    Object.entries(lacks).map(([name, reason]) => `- ${title}: \`${name}\`. ${reason}.`),
  );
  return [
    "These behaviours do not hold, with either provider. A test fails if one of them begins to hold:",
    "",
    ...lines,
  ].join("\n");
}
