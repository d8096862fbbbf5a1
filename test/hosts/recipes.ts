import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const DOCUMENT = fileURLToPath(new URL("../../docs/guides/hosts.md", import.meta.url));

export interface RecipeFile {
  readonly recipe: string;
  /** Path in the app. The first line of the code block names it. */
  readonly path: string;
  readonly code: string;
}

/** Returns the code blocks of docs/guides/hosts.md that belong to a recipe. */
export function recipeFiles(): readonly RecipeFile[] {
  const blocks = readFileSync(DOCUMENT, "utf8").matchAll(/^```ts recipe=(\S+)\n(\/\/ (\S+)\n.*?)^```$/gms);
  return Array.from(blocks, ([, recipe = "", code = "", path = ""]) => ({ recipe, path, code }));
}
