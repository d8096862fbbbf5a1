import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checksFor } from "./hosts/checks.js";
import { HOSTS } from "./hosts/hosts.js";
import { DOCUMENT } from "./hosts/recipes.js";
import { COLUMNS } from "./hosts/table.js";

const text = readFileSync(DOCUMENT, "utf8");
const [, measured = ""] = /<!-- measured -->(.*)<!-- \/measured -->/s.exec(text) ?? [];
const [head, , ...rows] = [...measured.matchAll(/^\| (.*) \|$/gm)].map(([, row = ""]) => row.split(" | "));

describe("docs/guides/hosts.md, which pnpm test:hosts writes,", () => {
  test("has a row for each host and version that the suite runs, and no other", () => {
    expect(head).toEqual(COLUMNS);
    expect(rows.map(([title]) => title)).toEqual(HOSTS.map(({ title }) => title));
  });

  test.each(HOSTS)("says for $title that every check of the suite passed", (host) => {
    const columns = checksFor(host).map(({ column }) => column);
    const expected = COLUMNS.slice(2).map((column) => (columns.includes(column) ? "yes" : "–"));
    expect(rows.find(([title]) => title === host.title)?.slice(2)).toEqual(expected);
  });

  test("says what each column means", () => {
    for (const column of COLUMNS.slice(2)) expect(text).toContain(`- **${column}:** `);
  });
});
