import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { DIST, filesIn } from "./files.js";

/**
 * Returns the links of the built pages that lead to no file or to no heading. VitePress itself checks
 * pages, but not headings and not links in HTML.
 */
export function deadLinks(): string[] {
  const pages = filesIn(DIST, ".html");
  return pages.flatMap((page) =>
    [...htmlOf(page).matchAll(/<(?:a|img)\b[^>]*?\s(?:href|src)="([^"]*)"/g)]
      .map(([, link = ""]) => link.replaceAll("&amp;", "&"))
      .filter((link) => !/^(?:https?|mailto|data):/.test(link) && !leads(page, link))
      .map((link) => `${page}: ${link}`),
  );
}

function leads(page: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : posix.join("/", posix.dirname(page), decodeURI(path)).slice(1);
  const resolved = path.startsWith("/") ? decodeURI(path).slice(1) : target;
  const file = [resolved, `${resolved}.html`, posix.join(resolved, "index.html")].find(isFile);
  if (file === undefined) return false;
  if (anchor === undefined || anchor === "") return true;
  return idsOf(file).has(decodeURIComponent(anchor));
}

const isFile = (name: string) => /\.[a-z]+$/.test(name) && existsSync(`${DIST}/${name}`);

const htmls = new Map<string, string>();
function htmlOf(page: string): string {
  const html = htmls.get(page) ?? readFileSync(`${DIST}/${page}`, "utf8");
  htmls.set(page, html);
  return html;
}

const ids = new Map<string, ReadonlySet<string>>();
function idsOf(page: string): ReadonlySet<string> {
  const found =
    ids.get(page) ?? new Set([...htmlOf(page).matchAll(/\sid="([^"]+)"/g)].map(([, id = ""]) => id));
  ids.set(page, found);
  return found;
}
