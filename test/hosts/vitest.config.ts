import { defineConfig } from "vitest/config";
import { report } from "../report.js";
import Table from "./table.js";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["*.test.ts"],
    globalSetup: "setup.ts",
    testTimeout: 60_000,
    hookTimeout: 180_000,
    reporters: ["default", new Table(), ...report("hosts")],
  },
});
