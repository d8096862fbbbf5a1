import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { defineConfig, type Options } from "tsup";
import { build } from "../../tsup.base.js";

/** The entry points that every receiver loads. */
const forReceivers = { index: "src/index.ts", adapter: "src/adapter.ts", app: "src/app.ts" };
const entry = {
  ...forReceivers,
  toloka: "src/providers/toloka/index.ts",
  prolific: "src/providers/prolific/index.ts",
  "standard-webhooks": "src/providers/standard-webhooks/index.ts",
  cvat: "src/providers/cvat/index.ts",
  inspect: "src/inspect.ts",
  sink: "src/sink.ts",
  testing: "src/testing.ts",
  internal: "src/internal.ts",
  conformance: "src/conformance.ts",
};

type Plugin = NonNullable<Options["esbuildPlugins"]>[number];

/**
 * Makes every entry point import those of `forReceivers`. esbuild puts files that the same entry points reach
 * into one chunk, so a receiver loads one chunk in place of twenty. Each file costs a cold start 1 to 2 ms.
 */
const oneChunk: Plugin = {
  name: "one-chunk",
  setup({ onLoad, onResolve }) {
    const entries = new Set(Object.values(entry).map((path) => resolve(path)));
    const imports = Object.values(forReceivers).map((path) => `import "one-chunk:${path}";`);
    // Without `sideEffects`, esbuild drops an import that names nothing.
    onResolve({ filter: /^one-chunk:/ }, ({ path }) => ({
      path: resolve(path.replace("one-chunk:", "")),
      sideEffects: true,
    }));
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      if (!entries.has(path)) return undefined;
      return { contents: [...imports, await readFile(path, "utf8")].join("\n"), loader: "ts" };
    });
  },
};

// Bundled: importing all of zod costs a cold start tens of milliseconds, the part used here none.
const noExternal = ["zod"];
const external = ["#hmac", "#diagnostics", /^node:/];
const contracts = { contracts: "src/contracts/index.ts" };

export default defineConfig([
  build({
    entry,
    dts: { entry: { ...entry, ...contracts }, compilerOptions: { ignoreDeprecations: "6.0" } },
    noExternal,
    external,
    esbuildPlugins: [oneChunk],
    clean: ["!contracts.*", "!hmac.*", "!diagnostics.*"],
  }),
  // The chunk imports them as `#hmac` and `#diagnostics`, which differ by runtime, so they stay outside it.
  build({
    entry: {
      "hmac.node": "src/signature/hmac.node.ts",
      "hmac.web": "src/signature/hmac.web.ts",
      "diagnostics.node": "src/observing/diagnostics.node.ts",
      "diagnostics.web": "src/observing/diagnostics.web.ts",
    },
    dts: false,
    splitting: false,
    external,
    clean: false,
  }),
  // On its own: with a chunk in common, apps would bundle the parts of zod that only contracts need.
  build({ entry: contracts, dts: false, splitting: false, noExternal, clean: false }),
]);
