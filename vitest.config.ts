import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // Most tests wait for servers and processes rather than for this one.
    maxWorkers: "100%",
    projects: ["packages/*/vitest.config.ts", "test/vitest.config.ts"],
    reporters: process.env.CI ? ["default", ["json", { outputFile: "reports/vitest.json" }]] : ["default"],
    coverage: { include: ["packages/*/src/**"], reporter: ["text", "json-summary"] },
  },
});
