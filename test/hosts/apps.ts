import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { build, transform } from "esbuild";
import { type Running, start } from "../cli-process.js";
import { SECRET } from "./checks.js";
import type { Host } from "./hosts.js";
import { recipeFiles } from "./recipes.js";

/** Frameworks behave otherwise while tests run. */
const PRODUCTION = { NODE_ENV: "production", NODE_PATH: "", NO_COLOR: "1" };

/** Writes the recipe, and the files around it, into a folder. Returns the folder. */
export async function writeApp(installed: string, host: Host): Promise<string> {
  const app = join(installed, "apps", host.id);
  const recipe = recipeFiles().filter((file) => host.recipes.includes(file.recipe));
  const files: Record<string, string> = {
    "package.json": JSON.stringify({ private: true, type: "module", main: "index.js" }),
    ...host.files,
    ...Object.fromEntries(recipe.map(({ path, code }) => [path, code])),
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(app, path)), { recursive: true });
    await writeFile(join(app, path), content);
  }
  for (const [name, installedAs] of Object.entries(host.aliases ?? {})) {
    await mkdir(join(app, "node_modules"), { recursive: true });
    await symlink(join(installed, "node_modules", installedAs), join(app, "node_modules", name), "dir");
  }
  return app;
}

/** Runs a command of the installed packages to its end. */
export async function command(
  installed: string,
  cwd: string,
  [name = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const bin = join(installed, "node_modules/.bin", name);
  const { code, stdout, stderr } = await start(bin, args, { cwd, env: { ...PRODUCTION, ...env } }).ended;
  if (code !== 0) throw new Error(`${name} ${args.join(" ")} failed:\n${stdout}${stderr}`);
}

/** Builds an app where no secret is set. */
export async function buildApp(installed: string, app: string, host: Host): Promise<void> {
  if (host.build === "transpile") return transpile(app);
  if (host.build === "worker") return bundleWorker(app);
  for (const each of host.build) await command(installed, app, each, host.env);
}

async function transpile(app: string): Promise<void> {
  for (const file of await readdir(app)) {
    if (!file.endsWith(".ts")) continue;
    const source = await readFile(join(app, file), "utf8");
    const { code } = await transform(source, { loader: "ts", format: "esm", target: "node20" });
    await writeFile(join(app, file.replace(/\.ts$/, ".js")), code);
  }
}

async function bundleWorker(app: string): Promise<void> {
  await build({
    entryPoints: [join(app, "worker.ts")],
    outfile: join(app, "worker.js"),
    bundle: true,
    format: "esm",
    platform: "neutral",
    conditions: ["workerd"],
    external: ["cloudflare:*"],
  });
  await writeFile(
    join(app, "worker.capnp"),
    `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "app", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    bindings = [(name = "TOLOKA_SECRET", text = "${SECRET}")],
    compatibilityDate = "2026-11-17",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "app")],
);
`,
  );
}

/** Finds the executable of a platform's package, whose install script was skipped. */
async function executable(installed: string, pattern: RegExp): Promise<string> {
  const store = join(installed, "node_modules/.pnpm");
  for (const folder of await readdir(store)) {
    const [, scope, name] = pattern.exec(folder) ?? [];
    if (name === undefined) continue;
    const bin = join(store, folder, "node_modules", `${scope}`, name, "bin");
    const [file] = await readdir(bin);
    if (file !== undefined) return join(bin, file);
  }
  throw new Error(`Nothing that matches ${pattern} is installed for this platform.`);
}

/** Starts a built app. */
export async function startApp(installed: string, app: string, host: Host): Promise<Running> {
  const { program, args } = host.start;
  const env = { ...PRODUCTION, TOLOKA_SECRET: SECRET, ...host.env };
  const preload = join(installed, "stand-ins");
  if (program === "bun") {
    const bun = await executable(installed, /^(@oven)\+(bun-[^@]+)@/);
    const flags = ["run", "--no-install", "--preload", join(preload, "listening-bun.js")];
    return start(bun, [...flags, ...args], { cwd: app, env });
  }
  if (program === "workerd") {
    return start(await executable(installed, /^(@cloudflare)\+(workerd-[^@]+)@/), args, { cwd: app, env });
  }
  return start(process.execPath, ["--import", join(preload, "listening.js"), ...args], { cwd: app, env });
}
