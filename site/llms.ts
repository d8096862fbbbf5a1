import { cpSync, readFileSync } from "node:fs";
import { DIST, PAGES, write } from "./files.js";
import { type Page, sections } from "./navigation.js";

/**
 * Writes `llms.txt`, which lists the pages, and `llms-full.txt`, which holds all but the API. Beside each
 * page lies its Markdown. Source of the format: llmstxt.org.
 */
export function writeLlms(): void {
  const parts = sections();
  const lists = parts.map(({ title, pages }) => `## ${title}\n\n${pages.map(line).join("\n")}\n`);
  write(DIST, "llms.txt", `# crowdhook\n\n> ${summaryOf("index.md")}\n\n${lists.join("\n")}`);
  const texts = parts.filter(({ title }) => title !== "API").flatMap(({ pages }) => pages.map(textOf));
  write(DIST, "llms-full.txt", texts.join("\n"));
  cpSync(PAGES, DIST, { recursive: true });
}

function line({ title, file }: Page): string {
  const summary = summaryOf(file);
  return `- [${title}](/${file})${summary === "" ? "" : `: ${summary}`}`;
}

const textOf = ({ file }: Page) => `<!-- /${file} -->\n\n${readFileSync(`${PAGES}/${file}`, "utf8")}`;

/** Returns the first sentence of a page that is neither a heading nor code, a table or a list. */
function summaryOf(file: string): string {
  const text = readFileSync(`${PAGES}/${file}`, "utf8").replace(/^```.*?^```$/gms, "");
  const paragraph = text.split(/\n{2,}/).find((each) => /^["`[A-Za-z]/.test(each.trim())) ?? "";
  const plain = paragraph
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
  return (/^.*?[.?:](?= |$)/.exec(plain)?.[0] ?? plain).replace(/:$/, ".");
}
