import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/**
 * The groups of test files, and the reason why a group is not among the fast tests. A file belongs to the
 * first group whose rule fits its name or a module that it imports, directly or through other files.
 */
const RULES = [
  { group: "slow", reason: "many seconds each", name: /\.slow\.test\.ts$/ },
  {
    group: "servers",
    reason: "Redis, PostgreSQL or Chromium",
    imports: /\/(?:redis-server|postgres-server|browser)\.ts$/,
  },
  { group: "built", reason: "processes and built packages", imports: /^(?:node:child_process|esbuild)$/ },
  { group: "fast", reason: "nothing but an installation" },
] as const satisfies readonly { group: string; reason: string; name?: RegExp; imports?: RegExp }[];

export type Group = (typeof RULES)[number]["group"];

export interface TestGroup {
  /** The text after "need" or "take". */
  readonly reason: string;
  /** Paths from the root of the repository. */
  readonly files: readonly string[];
}

const read = new Map<string, ReadonlySet<string>>();

/** Returns the names of the packages, and the paths of the files, that a file imports at run time. */
function importsOf(file: string): ReadonlySet<string> {
  const known = read.get(file);
  if (known !== undefined) return known;
  const found = new Set<string>();
  // Entered before it is complete, for files that import each other.
  read.set(file, found);
  const code = readFileSync(file, "utf8").replace(/^import type [^;]*;/gm, "");
  for (const [, name = ""] of code.matchAll(/^(?:import|export)\b[^;"]*"([^"]+)"/gm)) {
    if (!name.startsWith(".")) {
      found.add(name);
      continue;
    }
    const path = join(file, "..", name.replace(/\.js$/, ".ts"));
    // An import within a text names no file of this repository.
    if (!path.endsWith(".ts") || !existsSync(path)) continue;
    found.add(path);
    for (const further of importsOf(path)) found.add(further);
  }
  return found;
}

function groupOf(file: string): Group {
  const imported = [...importsOf(join(ROOT, file))];
  const fits = RULES.find((rule) => {
    if ("name" in rule) return rule.name.test(file);
    if ("imports" in rule) return imported.some((name) => rule.imports.test(name));
    return true;
  });
  return fits?.group ?? "fast";
}

function testFiles(): string[] {
  const folders = ["test", ...readdirSync(join(ROOT, "packages")).map((name) => `packages/${name}/test`)];
  return folders.flatMap((folder) => {
    const names = existsSync(join(ROOT, folder)) ? readdirSync(join(ROOT, folder)) : [];
    return names.filter((name) => name.endsWith(".test.ts")).map((name) => `${folder}/${name}`);
  });
}

/** Every test file of `test` and `packages/*` by its group. */
export const TEST_GROUPS: ReadonlyMap<Group, TestGroup> = (() => {
  const files = testFiles().map((file) => ({ file, group: groupOf(file) }));
  return new Map(
    RULES.map(({ group, reason }) => {
      const ofGroup = files.filter((each) => each.group === group);
      return [group, { reason, files: ofGroup.map(({ file }) => file) }];
    }),
  );
})();
