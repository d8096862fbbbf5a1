import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CHECKS, type Check } from "@crowdhook/audit";
import { expect, test } from "vitest";

const FILE = fileURLToPath(new URL("../docs/audit.md", import.meta.url));
const MARK = "<!-- From CHECKS, written by test/audit-docs.test.ts. -->\n";

const HEAD = `| check | for | level | what must hold | why | source |
| --- | --- | --- | --- | --- | --- |
`;
const NAMES = { toloka: "Toloka", prolific: "Prolific" };

function rowOf({ id, providers, level, what, reason, source, needs }: Check): string {
  const whose = providers.map((provider) => NAMES[provider]).join(", ");
  const needed = { report: " Takes a report route.", "two secrets": " Takes two secrets.", none: "" };
  const cells = [`\`${id}\``, whose, level, what + needed[needs ?? "none"], reason, source];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
}

// `vitest run test/audit-docs.test.ts -u` writes them.
test("docs/audit.md has every check as it is", async () => {
  const groups = [...new Set(CHECKS.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const rows = CHECKS.filter((check) => check.group === group).map(rowOf);
    return `\n### ${group}\n\n${HEAD}${rows.join("")}`;
  });
  const [before = "", after] = readFileSync(FILE, "utf8").split(MARK);
  expect(after).toBeDefined();
  await expect(before + MARK + tables.join("")).toMatchFileSnapshot(FILE);
});
