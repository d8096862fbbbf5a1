/**
 * Tries a release from end to end, without publishing anything: versions, tarballs, a registry on this
 * machine, and empty apps that install from it and run the quick start of the README.
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addAddresses, missingAddresses, packagesIn } from "./manifests.js";
import { readmeApp, runQuickStartPage, runReadmeApp } from "./quick-starts.js";
import { type Registry, startRegistry } from "./registry.js";

const ROOT = join(import.meta.dirname, "../..");
const work = mkdtempSync(join(tmpdir(), "crowdhook-release-"));
const copy = join(work, "repository");

/** Without the settings of the package manager that runs this script. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^p?npm_/i.test(name))),
  npm_config_loglevel: "error",
};
const run = (cwd: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

function step(text: string): void {
  console.log(`- ${text}`);
}

/** Copies what the versions and the tarballs are made of. */
function copyRepository(): void {
  const without = /[\\/](?:node_modules|\.turbo|reports)$/;
  for (const name of [".changeset", "packages", "examples", "test", "package.json", "pnpm-workspace.yaml"]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, filter: (path) => !without.test(path) });
  }
}

function applyChangesets(): string {
  run(copy, join(ROOT, "tools/node_modules/.bin/changeset"), "version");
  const versions = new Set(packagesIn(copy).map(({ manifest }) => manifest.version));
  const [version = ""] = versions;
  if (versions.size !== 1)
    throw new Error(`The packages have different versions: ${[...versions].join(", ")}.`);
  return version;
}

/** Packs a package, and returns the path of the tarball after a look at its files. */
function pack(folder: string): string {
  const [packed] = JSON.parse(run(folder, "npm", "pack", "--json", "--pack-destination", work));
  const files: string[] = packed.files.map(({ path }: { path: string }) => path);
  for (const needed of ["CHANGELOG.md", "LICENSE", "README.md"]) {
    if (!files.includes(needed)) throw new Error(`${packed.name} has no ${needed}.`);
  }
  for (const map of files.filter((file) => file.endsWith(".map"))) {
    const { sources, sourcesContent = [] } = JSON.parse(readFileSync(join(folder, map), "utf8"));
    // An entry point that only exports what another file holds has no source of its own.
    if (sourcesContent.length !== sources.length) throw new Error(`${packed.name}: ${map} lacks sources.`);
  }
  if (!files.some((file) => file.endsWith(".map"))) throw new Error(`${packed.name} has no source maps.`);
  return join(work, packed.filename);
}

const toCommonJs = (code: string) =>
  code
    .replace(/^import (\{.*\}) from ("[^"]+");$/gm, "const $1 = require($2);")
    .replace(/^import (\w+) from ("[^"]+");$/gm, "const $1 = require($2);");

/** Creates an empty app and installs our packages and Express from the registry. */
function createApp(registry: Registry, name: string, file: string, code: string): string {
  const folder = join(work, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
  writeFileSync(join(folder, file), code);
  const others = name === "typescript" ? ["typescript@5", "@types/express", "@types/node@20"] : [];
  run(
    folder,
    "npm",
    ...["install", "--registry", registry.url, "--no-audit", "--no-fund", "--ignore-scripts"],
    ...["@crowdhook/express", "@crowdhook/core", "crowdhook", "express@5", ...others],
  );
  return folder;
}

async function checkApps(registry: Registry): Promise<void> {
  const code = readmeApp();
  const esm = createApp(registry, "esm", "app.js", code);
  runReadmeApp(esm, "app.js", env);
  await runQuickStartPage(esm, env);
  step("an ESM app runs the quick start, and handles the event that the command sends");
  const cjs = createApp(registry, "cjs", "app.cjs", toCommonJs(code));
  runReadmeApp(cjs, "app.cjs", env);
  step("a CommonJS app runs the quick start");
  const ts = createApp(registry, "typescript", "app.ts", code.replace("(secret) =>", "(secret: string) =>"));
  const options = ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"];
  run(ts, "npx", "tsc", ...options, "app.ts");
  runReadmeApp(ts, "app.js", env);
  step("a TypeScript app compiles and runs the quick start");
}

async function check(): Promise<void> {
  if (!existsSync(join(ROOT, "packages/core/dist"))) throw new Error("There is no build. Run `pnpm build`.");
  copyRepository();
  const version = applyChangesets();
  addAddresses(copy);
  step(`all ${readdirSync(join(copy, "packages")).length} packages move to ${version}`);
  const tarballs = packagesIn(copy).map(({ folder }) => pack(folder));
  step("each tarball holds its changes, and source maps with the sources");
  const registry = await startRegistry(join(work, "registry"));
  try {
    for (const tarball of tarballs) {
      const token = `--//${new URL(registry.url).host}/:_authToken=local`;
      run(work, "npm", "publish", tarball, "--registry", registry.url, "--provenance=false", token);
    }
    step(`a registry at ${registry.url} takes them`);
    await checkApps(registry);
  } finally {
    await registry.close();
  }
  const missing = missingAddresses();
  if (missing.length > 0) {
    console.log(`A release still needs ${missing.join(", ")}.`);
  }
}

try {
  await check();
  console.log("The release would work.");
} finally {
  rmSync(work, { recursive: true, force: true, maxRetries: 10 });
}
