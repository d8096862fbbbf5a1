import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ADAPTERS, RUNTIMES } from "./runtimes/runtimes.js";
import { CHECKS } from "./runtimes/suite.js";

const text = readFileSync(new URL("../docs/reference/runtimes.md", import.meta.url), "utf8");
const [, measured = ""] = /<!-- measured -->(.*)<!-- \/measured -->/s.exec(text) ?? [];
const [head, , ...rows] = [...measured.matchAll(/^\| (.*) \|$/gm)].map(([, row = ""]) => row.split(" | "));

describe("docs/reference/runtimes.md, which pnpm test:runtimes writes,", () => {
  test("has a row for each runtime that the suite is run on, and no other", () => {
    expect(head).toEqual(["runtime", ...ADAPTERS, "packages"]);
    expect(rows.map(([title]) => title)).toEqual(RUNTIMES.map(({ title }) => title));
  });

  test.each(RUNTIMES)("counts for $title the checks that the suite has now", ({ title, apps, lacks }) => {
    const held = CHECKS.filter(({ name }) => lacks[name] === undefined).length;
    const [, ...cells] = rows.find((row) => row[0] === title) ?? [];
    // One more: what verifies the signatures.
    const expected = ADAPTERS.map((adapter) =>
      apps[adapter] === undefined ? "–" : `${held + 1} of ${CHECKS.length + 1}`,
    );
    expect(cells.slice(0, -1)).toEqual(expected);
  });

  test.each(RUNTIMES)("names what $title lacks, all of it checks of the suite", ({ title, lacks }) => {
    for (const [name, reason] of Object.entries(lacks)) {
      expect(CHECKS.map((check) => check.name)).toContain(name);
      expect(measured).toContain(`- ${title}: \`${name}\`. ${reason}.`);
    }
  });
});
