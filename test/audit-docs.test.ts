import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CHECKS, type Check } from "@crowdhook/audit";
import { SENDERS } from "@crowdhook/core/testing";
import { expect, test } from "vitest";
import { anchorsOf } from "../site/anchors.js";

const FILE = fileURLToPath(new URL("../docs/audit/checks.md", import.meta.url));
const MARK = "<!-- From CHECKS, written by test/audit-docs.test.ts. -->\n";

const TITLES = new Map(SENDERS.map(({ provider }) => [provider.name, provider.title]));
const NEEDS = { report: "a report route", "two secrets": "two secrets" };

function sectionOf({ id, providers, level, requirement, reason, source, needs }: Check): string {
  const titles = providers.map((provider) => TITLES.get(provider)).join(", ");
  const needed = needs === undefined ? "" : `- **Needs:** ${NEEDS[needs]}.\n`;
  return `
### ${id}

**${level}**, for ${titles}: ${requirement}

- **Reason:** ${reason}
- **Source:** ${source}.
${needed}`;
}

// `vitest run test/audit-docs.test.ts -u` writes the sections.
test("docs/audit/checks.md describes every check", async () => {
  const groups = [...new Set(CHECKS.map(({ group }) => group))];
  const written = groups.map((group) => {
    const sections = CHECKS.filter((check) => check.group === group).map(sectionOf);
    return `\n## ${group}\n${sections.join("")}`;
  });
  const [before = "", after] = readFileSync(FILE, "utf8").split(MARK);
  expect(after).toBeDefined();
  await expect(before + MARK + written.join("")).toMatchFileSnapshot(FILE);
});

test("the page that a check names has a heading at that address", () => {
  const anchors = anchorsOf(readFileSync(FILE, "utf8"));
  for (const { page } of CHECKS) {
    const [file, anchor = ""] = page.split("#");
    expect(file).toBe("docs/audit/checks.md");
    expect([...anchors]).toContain(anchor);
  }
});
