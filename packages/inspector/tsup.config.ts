import type { Plugin } from "esbuild";
import { defineConfig } from "tsup";
import { build } from "../../tsup.base.js";
import { bundlePage } from "./page-bundle.js";

/** Puts the bundled page into the package as two texts, so that the package holds nothing but modules. */
const page: Plugin = {
  name: "page",
  setup(build) {
    build.onResolve({ filter: /^virtual:page$/ }, ({ path }) => ({ path, namespace: "page" }));
    build.onLoad({ filter: /.*/, namespace: "page" }, async () => ({
      contents: await bundlePage(),
      loader: "js",
    }));
  },
};

const entry = { index: "src/index.ts", internal: "src/internal.ts" };

export default defineConfig(build({ entry, platform: "node", esbuildPlugins: [page as never] }));
