import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const { compilerOptions } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));

/** Vite's aliases for the `paths` of the root's tsconfig.json: our packages without a build. */
export const sources = Object.entries<[string]>(compilerOptions.paths).map(([name, [path]]) => ({
  find: new RegExp(`^${name.replace("*", "([^/]+)")}$`),
  replacement: join(root, path.replace("*", "$1")),
}));
