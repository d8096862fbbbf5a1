// Usage: node .ci/count.mjs <vitest's JSON report> <exit status of the tests> <checks passed> <checks failed>
import { readFileSync } from "node:fs";

const [path, testStatus, checksPassed, checksFailed] = process.argv.slice(2);

let report;
try {
  report = JSON.parse(readFileSync(path, "utf8"));
} catch (error) {
  console.log(`There is no test report: ${error.message}`);
}

const tests = (report?.testResults ?? []).flatMap((file) => file.assertionResults);
const count = (...statuses) => tests.filter(({ status }) => statuses.includes(status)).length;

const passed = count("passed") + Number(checksPassed);
const skipped = tests.length - count("passed", "failed");
let failed = count("failed") + Number(checksFailed);

// A file that cannot be loaded, or whose hooks fail, has no failed test of its own.
for (const { name, status, assertionResults } of report?.testResults ?? []) {
  if (status === "failed" && !assertionResults.some((test) => test.status === "failed")) {
    console.log(`Failed outside its tests: ${name}`);
    failed += 1;
  }
}

if (count("passed", "failed") === 0) {
  console.log("No test ran.");
  failed += 1;
} else if (testStatus !== "0" && failed === Number(checksFailed)) {
  console.log(`Every test passed, but the test command ended with status ${testStatus}.`);
  failed += 1;
}
if (skipped > 0) console.log("A skipped test proves nothing, so this does not pass.");

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 || skipped > 0 ? 1 : 0;
