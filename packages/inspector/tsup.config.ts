import { fileURLToPath } from "node:url";
import { build as bundle, type Plugin } from "esbuild";
import { defineConfig } from "tsup";
import { build } from "../../tsup.base.js";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const PAGE = file("page/main.tsx");

/** Bundles the page into two texts, so that the package holds nothing but modules. */
const page: Plugin = {
  name: "page",
  setup(build) {
    build.onResolve({ filter: /^virtual:page$/ }, () => ({ path: PAGE, namespace: "page" }));
    build.onLoad({ filter: /.*/, namespace: "page" }, async () => {
      const { outputFiles } = await bundle({
        entryPoints: [PAGE, file("page/style.css")],
        outdir: "page",
        bundle: true,
        minify: true,
        write: false,
        format: "esm",
        target: "es2022",
        jsx: "automatic",
        jsxImportSource: "preact",
        legalComments: "none",
      });
      const text = (end: string) => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? "";
      const contents = `export const SCRIPT = ${JSON.stringify(text(".js"))};
export const STYLE = ${JSON.stringify(text(".css"))};`;
      return { contents, loader: "js" };
    });
  },
};

const entry = { index: "src/index.ts", internal: "src/internal.ts" };

export default defineConfig(build({ entry, platform: "node", esbuildPlugins: [page as never] }));
