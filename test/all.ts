/** Runs all tests after a build. A run that fails does not keep the next one from starting. */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const CONFIGS = ["vitest.config.ts", "test/runtimes/vitest.config.ts", "test/hosts/vitest.config.ts"];

const failed = CONFIGS.filter((config) => {
  console.log(`\nvitest run --config ${config}`);
  const { status } = spawnSync(process.execPath, [vitest, "run", "--config", config], { stdio: "inherit" });
  return status !== 0;
});
console.log(failed.length === 0 ? "All tests passed." : `Tests failed with ${failed.join(", ")}.`);
process.exitCode = failed.length === 0 ? 0 : 1;
