import { readFileSync } from "node:fs";
import { filesIn, PAGES } from "./files.js";

export interface Section {
  readonly title: string;
  readonly pages: readonly Page[];
}

export interface Page {
  readonly title: string;
  /** Its file, such as `guides/order.md`. */
  readonly file: string;
}

/** The sections with their pages in the order of reading. A folder stands for its other pages. */
const ORDER: Readonly<Record<string, readonly string[]>> = {
  Start: ["start/quick-start.md", "start/packages.md"],
  Guides: [
    "guides/hosts.md",
    "guides/mounting.md",
    "guides/secrets.md",
    "guides/idempotency.md",
    "guides/order.md",
    "guides/slow-work.md",
    "guides/recovery.md",
    "guides/testing.md",
    "guides/inspector.md",
  ],
  Providers: [
    "providers/index.md",
    "providers/toloka.md",
    "providers/prolific.md",
    "providers/cvat.md",
    "providers/standard-webhooks.md",
    "providers/define.md",
  ],
  Operate: ["operate/production.md", "operate/queues.md", "operate/telemetry.md"],
  Reference: [
    "reference/errors.md",
    "reference/command.md",
    "reference/guarantees.md",
    "reference/runtimes.md",
    "reference/schemas.md",
    "reference/glossary.md",
  ],
  Packages: ["reference/packages/"],
  API: ["reference/api/index.md", "reference/api/"],
  Audit: ["audit/index.md", "audit/checks.md"],
  Compare: ["compare.md"],
  Decisions: ["adr/index.md", "adr/"],
};

/** Returns all pages but the first one. */
export function sections(): Section[] {
  const left = new Set(filesIn(PAGES, ".md"));
  left.delete("index.md");
  const take = (place: string): Page[] => {
    const files = place.endsWith("/") ? [...left].filter((file) => file.startsWith(place)) : [place];
    for (const file of files) {
      if (!left.delete(file)) throw new Error(`site/navigation.ts names ${file}, which does not exist.`);
    }
    return files.map((file) => ({ file, title: titleOf(file) }));
  };
  const found = Object.entries(ORDER).map(([title, places]) => ({ title, pages: places.flatMap(take) }));
  if (left.size > 0)
    throw new Error(`${[...left].join(", ")} has no place in site/navigation.ts. Add it there.`);
  return found;
}

/** Returns a page's title, without the part after a colon and without Markdown. */
export function titleOf(file: string): string {
  const [, heading = ""] = /^# (.*)$/m.exec(readFileSync(`${PAGES}/${file}`, "utf8")) ?? [];
  const title = heading.replace(/[`*\\]/g, "").replace(/: .*$/, "");
  if (title === "") throw new Error(`${file} has no title. Begin it with a line "# Title".`);
  return title;
}
