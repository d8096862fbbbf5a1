import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly [field: string]: unknown;
}

export interface Package {
  readonly folder: string;
  readonly manifest: Manifest;
}

const ADDRESSES = join(import.meta.dirname, "addresses.json");
/** Log lines and the audit take the address of their page from here. */
const DOCS = join(import.meta.dirname, "../../packages/core/src/observing/docs.ts");

/** Returns the packages that are published from a copy of the repository. */
export function packagesIn(root: string): Package[] {
  return readdirSync(join(root, "packages")).map((name) => {
    const folder = join(root, "packages", name);
    return { folder, manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) };
  });
}

/** Returns the addresses that nobody has filled in, each with its file. */
export function missingAddresses(): string[] {
  const addresses: Record<string, string> = JSON.parse(readFileSync(ADDRESSES, "utf8"));
  const missing = Object.keys(addresses)
    .filter((name) => !addresses[name])
    .map((name) => `${name} in tools/release/addresses.json`);
  const { homepage } = addresses;
  const isInCode = !homepage || readFileSync(DOCS, "utf8").includes(`"${homepage}`);
  return isInCode ? missing : [...missing, `${homepage} in packages/core/src/observing/docs.ts`];
}

/** Writes the addresses that are filled in into every manifest. */
export function addAddresses(root: string): void {
  const { repository, homepage, bugs } = JSON.parse(readFileSync(ADDRESSES, "utf8"));
  for (const { folder, manifest } of packagesIn(root)) {
    const directory = `packages/${folder.slice(join(root, "packages/").length)}`;
    const complete = {
      ...manifest,
      ...(repository && { repository: { type: "git", url: repository, directory } }),
      ...(homepage && { homepage }),
      ...(bugs && { bugs }),
    };
    writeFileSync(join(folder, "package.json"), `${JSON.stringify(complete, undefined, 2)}\n`);
  }
}
