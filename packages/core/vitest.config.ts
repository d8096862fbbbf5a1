import { fileURLToPath } from "node:url";
import { defineProject } from "vitest/config";

export default defineProject({
  resolve: {
    alias: {
      "#hmac": fileURLToPath(new URL("src/hmac.node.ts", import.meta.url)),
      "#diagnostics": fileURLToPath(new URL("src/diagnostics.node.ts", import.meta.url)),
    },
  },
  // What takes a second by itself takes ten on a machine that is busy with other things.
  test: { name: "core", include: ["test/**/*.test.ts"], testTimeout: 30_000 },
});
