import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CHECKS, type Check } from "@crowdhook/audit";
import { SENDERS } from "@crowdhook/core/testing";
import { expect, test } from "vitest";

const FILE = fileURLToPath(new URL("../docs/audit/index.md", import.meta.url));
const MARK = "<!-- From CHECKS, written by test/audit-docs.test.ts. -->\n";

const HEAD = `| check | for | level | requirement | reason | source |
| --- | --- | --- | --- | --- | --- |
`;
const TITLES = new Map(SENDERS.map(({ provider }) => [provider.name, provider.title]));

function rowOf({ id, providers, level, requirement, reason, source, needs }: Check): string {
  const titles = providers.map((provider) => TITLES.get(provider)).join(", ");
  const needed = { report: " Needs a report route.", "two secrets": " Needs two secrets.", none: "" };
  const cells = [`\`${id}\``, titles, level, requirement + needed[needs ?? "none"], reason, source];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
}

// `vitest run test/audit-docs.test.ts -u` writes the tables.
test("docs/audit/index.md describes every check", async () => {
  const groups = [...new Set(CHECKS.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const rows = CHECKS.filter((check) => check.group === group).map(rowOf);
    return `\n### ${group}\n\n${HEAD}${rows.join("")}`;
  });
  const [before = "", after] = readFileSync(FILE, "utf8").split(MARK);
  expect(after).toBeDefined();
  await expect(before + MARK + tables.join("")).toMatchFileSnapshot(FILE);
});
