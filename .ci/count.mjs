// Usage: node .ci/count.mjs <checks passed> <checks failed> <exit status of the tests> <vitest's JSON report>…
import { readFileSync } from "node:fs";

const [checksPassed, checksFailed, testStatus, ...reports] = process.argv.slice(2);

let passed = Number(checksPassed);
let failed = Number(checksFailed);
let testsFailed = 0;
let skipped = 0;

function addReport(path) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    console.log(`There is no test report: ${error.message}`);
  }

  const tests = (report?.testResults ?? []).flatMap((file) => file.assertionResults);
  const count = (...statuses) => tests.filter(({ status }) => statuses.includes(status)).length;
  let failures = count("failed");

  // Named here as well: the end of a long log is all that some readers are shown.
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults.filter(({ status }) => status === "failed")) {
      console.log(`Failed: ${file.name}: ${test.fullName}`);
      for (const message of test.failureMessages ?? []) {
        console.log(message.split("\n").slice(0, 12).join("\n"));
      }
    }
  }

  // A file that cannot be loaded, or whose hooks fail, has no failed test of its own.
  for (const { name, status, assertionResults } of report?.testResults ?? []) {
    if (status === "failed" && !assertionResults.some((test) => test.status === "failed")) {
      console.log(`Failed outside its tests: ${name}`);
      failures += 1;
    }
  }

  if (count("passed", "failed") === 0) {
    console.log(`No test ran for ${path}.`);
    failures += 1;
  }

  passed += count("passed");
  failed += failures;
  testsFailed += failures;
  skipped += tests.length - count("passed", "failed");
}

for (const path of reports) addReport(path);
if (reports.length === 0) {
  console.log("No report was given.");
  failed += 1;
} else if (testStatus !== "0" && testsFailed === 0) {
  console.log(`Every test passed, but the test command ended with status ${testStatus}.`);
  failed += 1;
}
if (skipped > 0) console.log("A skipped test proves nothing, so this does not pass.");

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 || skipped > 0 ? 1 : 0;
