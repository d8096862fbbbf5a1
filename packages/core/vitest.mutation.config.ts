import { defineConfig } from "vitest/config";
import { sources } from "../../test/sources.js";

// Stryker runs the tests in threads, which share the time zone of their process. This one is far from UTC.
process.env.TZ = "America/St_Johns";

// The slow tests take longer than all others together, and the others must find every mutant alone. The
// short timeout ends mutants that hang. Without isolation all files share their modules, which saves
// loading them again. No test may replace a module for the others.
export default defineConfig({
  resolve: { alias: sources },
  test: { include: ["test/*.test.ts"], exclude: ["test/*.slow.test.ts"], testTimeout: 5_000, isolate: false },
});
