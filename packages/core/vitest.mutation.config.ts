import { mergeConfig } from "vitest/config";
import core from "./vitest.config.js";

// The tests run in threads here, whose time zone is their process's.
process.env.TZ = core.test?.env?.TZ;

// Without the tests of many events, which take longer than all others together: what one mutant breaks
// has to show in a test of a few events, too. What hangs is given up sooner, and modules are loaded once
// for all files, as no test replaces one.
export default mergeConfig(core, {
  test: { exclude: ["test/many.test.ts"], testTimeout: 5_000, isolate: false },
});
