import { readFileSync, writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from "vitest/node";
import { CHECKS } from "./checks.js";
import { HOSTS } from "./hosts.js";
import { DOCUMENT } from "./recipes.js";

/** The test run writes the text between these markers. The rest is written by hand. */
const MEASURED = /(?<=<!-- measured -->\n)[\s\S]*(?=<!-- \/measured -->)/;

export const COLUMNS = ["host", "package", ...CHECKS.map(({ column }) => column)];

/** Prints the result of each check, and writes the table into `docs/guides/hosts.md` if all of them passed. */
export default class Table implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    _errors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const suites = modules.flatMap((module) => [...module.children.suites()]);
    const results = new Map(
      suites.flatMap((suite) =>
        Array.from(suite.children.allTests(), (test) => [`${suite.name} ${test.name}`, test.result().state]),
      ),
    );
    const table = tableOf((title, check) => results.get(`${title} · ${check}`));
    console.log(`\n${table}`);
    const all = modules.flatMap((module) => [...module.children.allTests()]);
    if (reason !== "passed" || all.some((test) => test.result().state !== "passed")) {
      console.log("docs/guides/hosts.md is unchanged, because not every check ran and passed.");
      return;
    }
    const today = new Date().toISOString().slice(0, 10);
    const run = `Measured on ${today}, on ${process.platform} ${process.arch}, with Node ${process.versions.node}, by \`pnpm test:hosts\`.`;
    const text = readFileSync(DOCUMENT, "utf8");
    writeFileSync(
      DOCUMENT,
      text.replace(MEASURED, () => `\n${table}\n\n${run}\n\n`),
    );
  }
}

const CELLS: Record<string, string> = { passed: "yes", failed: "no", skipped: "not run" };

function tableOf(stateOf: (title: string, check: string) => string | undefined): string {
  const rows = HOSTS.map(({ title, adapter }) => [
    title,
    `\`@crowdhook/${adapter}\``,
    ...CHECKS.map(({ name }) => CELLS[stateOf(title, name) ?? ""] ?? "–"),
  ]);
  return [COLUMNS, COLUMNS.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}
