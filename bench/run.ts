/**
 * Runs parts, each in a process of its own, and writes results.md: `pnpm bench` all that results.md is
 * made of, `pnpm bench http size` those. With options, such as `pnpm bench in-process --quick`, nothing is
 * written down.
 *
 * The parts are compiled once and run by Node alone. What runs TypeScript on the fly also rewrites the
 * functions to be measured, and follows this repository's paths into sources that no app would load.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { PARTS, publish } from "./results.js";

const folder = import.meta.dirname;
process.chdir(folder);
const parts = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const options = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
for (const part of parts) {
  if (!existsSync(`${part}.ts`)) throw new Error(`There is no part ${part}. There are: ${PARTS.join(", ")}.`);
}
const compiled = mkdtempSync(".tmp-");
try {
  await build({
    absWorkingDir: folder,
    entryPoints: readdirSync(".").flatMap((name) => (name.endsWith(".ts") ? `./${name}` : [])),
    outdir: compiled,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    tsconfigRaw: {},
  });
  const present = PARTS.filter((part) => existsSync(`${part}.ts`));
  for (const part of parts.length > 0 ? parts : present) {
    const { status } = spawnSync(process.execPath, [path.join(compiled, `${part}.js`), ...options], {
      stdio: "inherit",
    });
    if (status !== 0) {
      console.error(`The part ${part} failed.`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(compiled, { recursive: true });
}
if (options.length === 0) publish();
