// Usage: node .ci/commits.mjs <range of commits>
// Checks that each subject reads `area: imperative`, in at most 72 characters.
import { execFileSync } from "node:child_process";

const MAX_LENGTH = 72;
const SUBJECT = /^[a-z][a-z0-9-]*(?:, [a-z][a-z0-9-]*)*: (?<verb>[a-z][a-z-]*) \S/;
const NOT_IMPERATIVE = /(?:ed|ing|[^s]s)$/;
/** Imperatives that end as other forms do. */
const IMPERATIVES = new Set(["bring", "embed", "feed", "focus", "need", "seed", "speed", "string"]);

function problemOf(subject) {
  if (subject.length > MAX_LENGTH) return `it has ${subject.length} characters, at most ${MAX_LENGTH} fit`;
  const verb = SUBJECT.exec(subject)?.groups?.verb;
  if (verb === undefined) return "it must read `area: imperative`, in lower case";
  if (NOT_IMPERATIVE.test(verb) && !IMPERATIVES.has(verb)) return `"${verb}" is no imperative`;
  return undefined;
}

const [range = "origin/main..HEAD"] = process.argv.slice(2);
const log = execFileSync("git", ["log", "--no-merges", "--format=%h %s", range], { encoding: "utf8" });
const commits = log.split("\n").filter(Boolean);
for (const commit of commits) {
  const problem = problemOf(commit.slice(commit.indexOf(" ") + 1));
  if (problem === undefined) continue;
  console.log(`${commit}\n  ${problem}`);
  process.exitCode = 1;
}
console.log(`${commits.length} subjects checked.`);
