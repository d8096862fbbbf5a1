import { fileURLToPath } from "node:url";
import { defineProject } from "vitest/config";

export default defineProject({
  resolve: {
    alias: {
      "#hmac": fileURLToPath(new URL("src/signature/hmac.node.ts", import.meta.url)),
      "#diagnostics": fileURLToPath(new URL("src/observing/diagnostics.node.ts", import.meta.url)),
    },
  },
  test: {
    name: "core",
    include: ["test/**/*.test.ts"],
    // What takes a second by itself takes ten on a machine that is busy with other things.
    testTimeout: 30_000,
    // Far from UTC, so that a time that is taken for local comes out wrong.
    env: { TZ: "America/St_Johns" },
  },
});
