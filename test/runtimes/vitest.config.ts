import { defineConfig } from "vitest/config";
import Table from "./table.js";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: "setup.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: process.env.CI
      ? ["default", new Table(), ["json", { outputFile: "../../reports/runtimes.json" }]]
      : ["default", new Table()],
  },
});
