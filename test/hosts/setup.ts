import { copyFile, cp, mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { env, pack, packages, run } from "../tarballs.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder in which the hosts and the packed packages are installed. */
    readonly installed: string;
  }
}

const here = import.meta.dirname;
/** The packages that recipes import. */
const PACKAGES = ["core", "node", "express", "fastify", "koa", "fetch"].map((name) => `@crowdhook/${name}`);

const MANIFESTS = ["package.json", "nest11/package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"];

/** Installs what the lockfile says. Install scripts are skipped, because some of them download. */
async function installHosts(folder: string): Promise<void> {
  await mkdir(join(folder, "nest11"));
  for (const file of MANIFESTS) {
    await copyFile(join(here, file), join(folder, file));
  }
  const pnpm = process.env.npm_execpath ?? "";
  const [command = "", ...args] = /pnpm/.test(pnpm)
    ? [process.execPath, pnpm]
    : ["npx", "-y", "pnpm@10.34.9"];
  await run(command, [...args, "install", "--frozen-lockfile", "--prefer-offline", "--ignore-scripts"], {
    cwd: folder,
    env,
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** Unpacks the packages beside the hosts, so that the lockfile does not name them. */
async function installPackages(folder: string): Promise<void> {
  for (const each of packages.filter(({ name }) => PACKAGES.includes(name))) {
    const { name, path } = await pack(each.folder, folder);
    const destination = join(folder, "node_modules", name);
    await mkdir(destination, { recursive: true });
    await run("tar", ["-xzf", path, "-C", destination, "--strip-components=1"]);
  }
}

/** Installs the hosts and the packed packages in a folder of their own, as a user would. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "crowdhook-hosts-")));
  const teardown = () => rm(folder, { recursive: true, force: true, maxRetries: 10 });
  try {
    await installHosts(folder);
    await installPackages(folder);
    const standIns = (await readdir(join(here, "stand-ins"))).map((file) => join(here, "stand-ins", file));
    await build({
      entryPoints: standIns,
      outdir: join(folder, "stand-ins"),
      format: "esm",
      target: "node20",
    });
    await cp(join(here, "jsdom.test.cjs"), join(folder, "jsdom/jsdom.test.cjs"));
    provide("installed", folder);
  } catch (error) {
    await teardown();
    throw error;
  }
  return teardown;
}
