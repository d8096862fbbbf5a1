import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { filesIn, PAGES, ROOT, write } from "./files.js";

/** Writes the pages of docs/ and the packages' READMEs, with links that hold on the site. */
export function writePages(): void {
  cpSync(`${ROOT}docs`, PAGES, { recursive: true, filter: (file) => !file.endsWith(".md") });
  for (const name of filesIn(`${ROOT}docs`, ".md")) writePage(`docs/${name}`, name);
  for (const name of readdirSync(`${ROOT}packages`)) {
    writePage(`packages/${name}/README.md`, `reference/packages/${name}.md`);
  }
}

function writePage(source: string, page: string): void {
  const markdown = readFileSync(`${ROOT}${source}`, "utf8");
  write(PAGES, page, withSiteLinks(markdown, source, page));
}

/** Follows links from the file `source` of the repository and makes them links of the page `page`. */
function withSiteLinks(markdown: string, source: string, page: string): string {
  const linked = markdown.replace(
    /`(docs\/[\w/-]+\.md)` in the repository/g,
    (_, path: string) => `[\`${path}\`](${posix.relative(posix.dirname(source), path)})`,
  );
  return linked.replace(
    /(!?\[(?:[^[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)/g,
    (whole, text: string, link: string) => {
      if (/^([a-z]+:|#)/.test(link)) return whole;
      const [path = "", anchor] = link.split("#");
      const target = posix.join(posix.dirname(source), path);
      if (!existsSync(ROOT + target)) throw new Error(`${source} links to ${link}, which does not exist.`);
      const hash = anchor === undefined ? "" : `#${anchor}`;
      const there = pageOf(target);
      if (there !== undefined) return `${text}(${posix.relative(posix.dirname(page), there)}${hash})`;
      return REPOSITORY === undefined
        ? text.slice(1, -1)
        : `${text}(${REPOSITORY}/blob/main/${target}${hash})`;
    },
  );
}

/** Returns the site's page or picture for a file of the repository, if it has one. */
function pageOf(file: string): string | undefined {
  if (file.startsWith("docs/")) return file.slice("docs/".length);
  const [, name] = /^packages\/([\w-]+)(\/README\.md)?\/?$/.exec(file) ?? [];
  return name === undefined ? undefined : `reference/packages/${name}.md`;
}

/** Where files without a page are shown. Until the packages name a repository, their links become text. */
const REPOSITORY = repositoryOf(JSON.parse(readFileSync(`${ROOT}packages/core/package.json`, "utf8")));

function repositoryOf({ repository }: { repository?: { url: string } }): string | undefined {
  return repository?.url.replace(/^git\+/, "").replace(/\.git$/, "");
}
