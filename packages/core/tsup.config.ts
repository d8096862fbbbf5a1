import { defineConfig } from "tsup";
import { build } from "../../tsup.base.js";

const entry = {
  index: "src/index.ts",
  toloka: "src/providers/toloka/index.ts",
  prolific: "src/providers/prolific/index.ts",
  "standard-webhooks": "src/providers/standard-webhooks/index.ts",
  cvat: "src/providers/cvat/index.ts",
  adapter: "src/adapter.ts",
  app: "src/app.ts",
  inspect: "src/inspect.ts",
  sink: "src/sink.ts",
  testing: "src/testing.ts",
  internal: "src/internal.ts",
  conformance: "src/conformance.ts",
};

// Bundled: importing all of zod costs a cold start tens of milliseconds, the part used here none.
const noExternal = ["zod"];
const contracts = { contracts: "src/contracts/index.ts" };

export default defineConfig([
  build({
    entry: {
      ...entry,
      "hmac.node": "src/signature/hmac.node.ts",
      "hmac.web": "src/signature/hmac.web.ts",
      "diagnostics.node": "src/observing/diagnostics.node.ts",
      "diagnostics.web": "src/observing/diagnostics.web.ts",
    },
    dts: { entry: { ...entry, ...contracts }, compilerOptions: { ignoreDeprecations: "6.0" } },
    noExternal,
    external: ["#hmac", "#diagnostics", /^node:/],
    clean: ["!contracts.*"],
  }),
  // On its own: with a chunk in common, apps would bundle the parts of zod that only contracts need.
  build({ entry: contracts, dts: false, splitting: false, noExternal, clean: false }),
]);
