import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SENDERS, type Sender } from "@crowdhook/core/testing";
import type * as nodeAdapter from "@crowdhook/node";
import { build, type Plugin } from "esbuild";

const PACKAGES = fileURLToPath(new URL("../packages/", import.meta.url));
const CORE = `${PACKAGES}core/src/`;

/** Replaces a text that occurs once in a file of core. */
export interface Mutation {
  /** The end of the file's path. */
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

/** The exports of a build: the adapter, and the senders of the providers that it was built with. */
export type MutatedAdapter = Pick<typeof nodeAdapter, "webhook"> & { readonly SENDERS: readonly Sender[] };

/** Returns the path of a file of core, in any folder. */
function coreFile(name: string): string {
  const found = readdirSync(CORE, { recursive: true, encoding: "utf8" }).find((file) =>
    `/${file}`.endsWith(`/${name}`),
  );
  if (found === undefined) throw new Error(`core has no file ${name}.`);
  return CORE + found;
}

const fromSource: Plugin = {
  name: "from source",
  setup({ onResolve }) {
    onResolve({ filter: /^#(hmac|diagnostics)$/ }, ({ path }) => ({
      path: coreFile(`${path.slice(1)}.node.ts`),
    }));
    onResolve({ filter: /^@crowdhook\/core/ }, ({ path }) => {
      const [, , entry = "index"] = path.split("/");
      const isProvider = SENDERS.some(({ provider }) => provider.name === entry);
      return { path: `${CORE}${isProvider ? `providers/${entry}/index` : entry}.ts` };
    });
  },
};

/**
 * Returns a plugin that applies mutations to the files of core.
 *
 * @throws If two mutations name one file.
 */
function replacing(mutations: readonly Mutation[]): Plugin {
  const byPath = new Map<string, Mutation>();
  for (const mutation of mutations) {
    const path = coreFile(mutation.file);
    if (byPath.has(path)) throw new Error(`Two mutations name ${mutation.file}. Write one for each file.`);
    byPath.set(path, mutation);
  }
  return {
    name: "mutations",
    setup({ onLoad }) {
      onLoad({ filter: /core\/src\/.+\.ts$/ }, ({ path }) => {
        const mutation = byPath.get(path);
        if (mutation === undefined) return undefined;
        const { file, text, replacement } = mutation;
        const parts = readFileSync(path, "utf8").split(text);
        const times = parts.length - 1;
        if (times !== 1)
          throw new Error(`\`${text}\` occurs ${times} times in ${file}. Choose a text that occurs once.`);
        return { contents: parts.join(replacement), loader: "ts" };
      });
    },
  };
}

/**
 * Returns `buildAdapter`, which builds the adapter for node:http and all providers from source, and
 * `deleteBuilds`.
 */
export function adapterBuilder() {
  const folder = mkdtempSync(join(import.meta.dirname, ".tmp-mutants-"));
  let builds = 0;

  async function buildAdapter(mutations: readonly Mutation[] = []): Promise<MutatedAdapter> {
    const outfile = join(folder, `${builds++}.mjs`);
    await build({
      stdin: {
        contents: `export { webhook } from ${JSON.stringify(`${PACKAGES}node/src/index.ts`)};
          export { SENDERS } from "@crowdhook/core/testing";`,
        resolveDir: CORE,
      },
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      plugins: [replacing(mutations), fromSource],
    });
    return import(pathToFileURL(outfile).href);
  }

  return { buildAdapter, deleteBuilds: () => rmSync(folder, { recursive: true }) };
}
