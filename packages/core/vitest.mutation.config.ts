import { mergeConfig } from "vitest/config";
import core from "./vitest.config.js";

// Stryker runs the tests in threads, which share the time zone of their process.
process.env.TZ = core.test?.env?.TZ;

// many.test.ts takes longer than all other tests together, and the others must find every mutant alone.
// The short timeout ends mutants that hang. Without isolation all files share their modules, which saves
// loading them again. No test may replace a module for the others.
export default mergeConfig(core, {
  test: { exclude: ["test/many.test.ts"], testTimeout: 5_000, isolate: false },
});
