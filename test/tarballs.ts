import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);

export interface Manifest {
  readonly name: string;
  readonly files: readonly string[];
  /** Absent for a command. */
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const here = fileURLToPath(new URL(".", import.meta.url));

/** Our packages, as they are in the workspace. */
export const packages: readonly (Manifest & { readonly folder: string })[] = readdirSync(
  join(here, "../packages"),
).map((name) => {
  const folder = join(here, "../packages", name);
  return { folder, ...(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest) };
});

/** Every name that something of a package can be imported by. */
export function entryPoints({ name, exports = {} }: Manifest): string[] {
  return (
    Object.keys(exports)
      // A pattern of data files is no module.
      .filter((path) => !path.includes("*"))
      .filter((path) => path !== "./package.json")
      .map((path) => name + path.slice(1))
  );
}

/**
 * Without what the package manager sets that runs the tests: npm would take its settings for its
 * own, and through NODE_PATH an app would find the workspace's modules.
 */
export const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(p?npm_.*|NODE_PATH)$/i.test(name)),
);

export async function npm(cwd: string, ...args: string[]): Promise<string> {
  return (await run("npm", args, { cwd, env })).stdout;
}

export interface Tarball {
  readonly name: string;
  readonly path: string;
  readonly files: readonly string[];
}

/** What npm would publish of a folder, packed into another one. */
export async function pack(folder: string, destination: string): Promise<Tarball> {
  const output = await npm(
    folder,
    ...["pack", "--json", "--ignore-scripts", "--pack-destination", destination],
  );
  const [result] = JSON.parse(output) as { name: string; filename: string; files: { path: string }[] }[];
  if (result === undefined) throw new Error(`npm pack made nothing of ${folder}.`);
  return {
    name: result.name,
    path: join(destination, result.filename),
    files: result.files.map(({ path }) => path),
  };
}
