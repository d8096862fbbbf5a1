import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { anchorsOf, withoutCode } from "../site/anchors.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const pagesIn = (folder: string, recursive = false) =>
  readdirSync(join(ROOT, folder), { recursive, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const under = (folder: string) => readdirSync(join(ROOT, folder)).map((name) => join(folder, name));
const PAGES = [
  ...["", ".changeset", "bench", ...under("packages"), ...under("examples")].flatMap((each) => pagesIn(each)),
  ...pagesIn("docs", true),
];

/** The page that a link to a folder shows. */
const pageAt = (path: string) => (statSync(join(ROOT, path)).isDirectory() ? join(path, "README.md") : path);

/** Returns why a link of a page leads nowhere; `undefined` if it does not. */
function flawOf(page: string, link: string): string | undefined {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : normalize(join(dirname(page), path));
  if (target.startsWith("..") || !existsSync(join(ROOT, target))) return `${link}: no such file`;
  if (anchor === undefined) return undefined;
  const markdown = readFileSync(join(ROOT, pageAt(target)), "utf8");
  return anchorsOf(markdown).has(anchor) ? undefined : `${link}: no such heading`;
}

function linksOf(markdown: string): string[] {
  const links = [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
  return links.filter((link) => !/^[a-z]+:/.test(link));
}

describe("every link of a page to a file or a heading of this repository leads there", () => {
  test.each(PAGES)("%s", (page) => {
    const links = linksOf(readFileSync(join(ROOT, page), "utf8"));
    expect(links.map((link) => flawOf(page, link)).filter((flaw) => flaw !== undefined)).toEqual([]);
  });
});

test("a page's own headings are found as GitHub numbers and spells them", () => {
  const page = "# A `b`: c\n\n```md\n# Not this\n```\n\n## SIGNATURE_MISMATCH\n\n## Limits\n\n## Limits\n";
  expect([...anchorsOf(page)]).toEqual(["a-b-c", "signature_mismatch", "limits", "limits-1"]);
});
