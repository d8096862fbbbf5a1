import { defineConfig } from "vitest/config";
import Table from "./table.js";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["*.test.ts"],
    globalSetup: "setup.ts",
    testTimeout: 60_000,
    hookTimeout: 180_000,
    reporters: process.env.CI
      ? ["default", new Table(), ["json", { outputFile: "../../reports/hosts.json" }]]
      : ["default", new Table()],
  },
});
