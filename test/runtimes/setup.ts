import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { npm, pack, packages } from "../tarballs.js";
import { RUNTIMES, type Runtime } from "./runtimes.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder with the apps and the installed packages. */
    readonly apps: string;
    /** Path of the executable by the runtime's package, or the problem if it could not be fetched. */
    readonly executables: Readonly<Record<string, { readonly path?: string; readonly problem?: string }>>;
  }
}

const here = fileURLToPath(new URL(".", import.meta.url));
const CACHE = join(here, "../../node_modules/.runtimes");
/** The packages that also run outside of Node. Others have tests of their own. */
export const PACKAGES = ["core", "node", "express", "fastify", "koa", "fetch", "redis"].map(
  (name) => `@crowdhook/${name}`,
);
const FRAMEWORKS = ["express", "fastify", "koa", "hono", "@hono/node-server"];
// Install scripts are skipped, because some of them download.
const INSTALL = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];

/** Returns the path of the executable. Fetches its package if it is not cached. */
async function fetched(runtime: Runtime): Promise<string> {
  const folder = join(CACHE, runtime.package);
  const find = async (parent: string) => {
    const files = await readdir(parent, { recursive: true }).catch(() => []);
    const found = files.find((file) => runtime.executable.test(`/${file.replaceAll("\\", "/")}`));
    return found && join(parent, found);
  };
  const cached = await find(folder);
  if (cached !== undefined) return cached;
  console.log(`Fetching ${runtime.package}.`);
  await mkdir(CACHE, { recursive: true });
  // Under another name until the installation is complete.
  const unfinished = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(unfinished, "package.json"), JSON.stringify({ private: true }));
    await npm(unfinished, ...INSTALL, runtime.package);
    const executable = await find(unfinished);
    if (executable === undefined) throw new Error(`${runtime.package} has nothing for this platform.`);
    await rm(folder, { recursive: true, force: true });
    await rename(unfinished, folder);
    return executable.replace(unfinished, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function installApps(folder: string): Promise<void> {
  const { devDependencies } = JSON.parse(await readFile(join(here, "../package.json"), "utf8"));
  const ours = packages.filter(({ name }) => PACKAGES.includes(name));
  const tarballs = await Promise.all(ours.map((each) => pack(each.folder, folder)));
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await npm(
    folder,
    ...INSTALL,
    ...tarballs.map(({ path }) => path),
    ...FRAMEWORKS.map((name) => `${name}@${devDependencies[name]}`),
  );
  const sources = (await readdir(join(here, "apps"))).map((file) => join(here, "apps", file));
  await build({ entryPoints: sources, outdir: folder, format: "esm", platform: "neutral" });
  const bundle = (entry: string, outfile: string, condition: string, format: "esm" | "iife") =>
    build({
      entryPoints: [join(folder, entry)],
      outfile: join(folder, outfile),
      bundle: true,
      format,
      platform: "neutral",
      conditions: [condition],
    });
  await bundle("fetch-workerd.js", "worker.js", "workerd", "esm");
  await bundle("fetch-edge.js", "edge.js", "edge-light", "iife");
  for (const { apps } of RUNTIMES) {
    const [, date] = /^workerd-(.*)\.capnp$/.exec(apps.fetch ?? "") ?? [];
    if (date) await writeFile(join(folder, `workerd-${date}.capnp`), workerdConfig(date));
  }
}

function workerdConfig(compatibilityDate: string): string {
  return `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "app", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    compatibilityDate = "${compatibilityDate}",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "app")],
);
`;
}

/** Fetches missing runtimes, and installs the apps as a user would. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "crowdhook-runtimes-")));
  const teardown = () => rm(folder, { recursive: true, force: true, maxRetries: 10 });
  try {
    const byPackage = new Map(RUNTIMES.map((runtime) => [runtime.package, runtime]));
    const executables = Array.from(byPackage.values(), async (runtime) => {
      const executable = await fetched(runtime).then(
        (path) => ({ path }),
        (error: Error) => ({ problem: error.message }),
      );
      return [runtime.package, executable] as const;
    });
    await installApps(folder);
    provide("apps", folder);
    provide("executables", Object.fromEntries(await Promise.all(executables)));
  } catch (error) {
    await teardown();
    throw error;
  }
  return teardown;
}
