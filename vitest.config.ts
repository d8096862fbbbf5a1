import { defineConfig } from "vitest/config";
import { type Group, TEST_GROUPS } from "./test/groups.js";
import GroupsReporter from "./test/groups-reporter.js";
import { inspectorPage } from "./test/page-bundle.js";
import { report } from "./test/report.js";
import { sources } from "./test/sources.js";

/** @param timeout In milliseconds. A busy machine takes many times longer than a quiet one. */
function group(name: Group, timeout: number) {
  return {
    plugins: [inspectorPage],
    resolve: { alias: sources },
    test: {
      name,
      include: [...(TEST_GROUPS.get(name)?.files ?? [])],
      // The fast files share their modules, because loading them again takes longer than most tests. So no
      // fast test may replace a module, or leave a global changed.
      isolate: name !== "fast",
      testTimeout: timeout,
      hookTimeout: timeout,
      // Far from UTC, so that a time that is taken for local comes out wrong.
      env: { TZ: "America/St_Johns" },
    },
  };
}

const types = {
  test: {
    name: "types",
    include: [],
    typecheck: {
      enabled: true,
      only: true,
      include: ["test/types/*.test-d.ts"],
      tsconfig: "test/types/tsconfig.json",
    },
  },
};

export default defineConfig({
  test: {
    // Most tests wait for servers and processes rather than for this one.
    maxWorkers: "100%",
    // A receiver logs what it refuses. Only the lines of a test that fails are worth reading.
    silent: "passed-only",
    projects: [
      group("fast", 30_000),
      group("built", 120_000),
      group("servers", 120_000),
      group("slow", 300_000),
      types,
    ],
    reporters: [process.stdout.isTTY ? "default" : "minimal", new GroupsReporter(), ...report("tests")],
  },
});
