import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");

/** Returns each kind of line once, with all numbers replaced: the demo may be run with other numbers. */
function formOf(lines: readonly string[]): string[] {
  const forms = lines.map((line) => line.trim().replace(/\d+/g, "N").replace(/\s+/g, " "));
  return [...new Set(forms.filter((form) => form !== ""))];
}

test("the picture of the crash demo shows what the demo prints", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "crash.ts"], {
    cwd: join(ROOT, "examples/demo"),
    env: { ...process.env, KILLS: "2" },
  });
  const picture = readFileSync(join(ROOT, "docs/pictures/crash.svg"), "utf8");
  const drawn = [...picture.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, line = ""]) => line);
  expect(formOf(drawn)).toEqual(["$ pnpm demo:crash", ...formOf(stdout.split("\n"))]);
  const counts = drawn.flatMap(
    (line) => /^(?:events sent|rows written|events completed) +(\d+)$/.exec(line)?.[1] ?? [],
  );
  expect(counts).toHaveLength(3);
  expect(new Set(counts).size).toBe(1);
  expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain("](docs/pictures/crash.svg)");
}, 300_000);
