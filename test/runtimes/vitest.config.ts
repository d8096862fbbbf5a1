import { defineConfig } from "vitest/config";
import { report } from "../report.js";
import Table from "./table.js";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: "setup.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ["default", new Table(), ...report("runtimes")],
  },
});
