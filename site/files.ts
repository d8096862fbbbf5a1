import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** The pages as Markdown, which VitePress renders. */
export const PAGES = fileURLToPath(new URL(".tmp-pages", import.meta.url));
export const DIST = fileURLToPath(new URL("dist", import.meta.url));

/** Returns the files in a folder and below it, as sorted paths that start in the folder. */
export function filesIn(folder: string, extension: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(extension))
    .sort();
}

export function write(folder: string, name: string, content: string): void {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}
