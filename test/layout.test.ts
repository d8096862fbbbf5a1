import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const PACKAGES = join(import.meta.dirname, "../packages");
const CORE = join(PACKAGES, "core/src");

const sources = readdirSync(PACKAGES).flatMap((name) => {
  const folder = join(PACKAGES, name, "src");
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(folder, path));
});

const linesOf = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n").length;

interface Length {
  readonly where: string;
  readonly lines: number;
  /** Without the lines of the functions inside it. */
  readonly own: number;
}

/** Returns the length of each function in a file, in lines. */
function functionsOf(path: string): Length[] {
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const lineAt = (position: number) => file.getLineAndCharacterOfPosition(position).line;
  const lengths: Length[] = [];
  /** Returns the lines of the functions directly inside a node. */
  function visit(node: ts.Node): number {
    let inside = 0;
    ts.forEachChild(node, (child) => {
      const nested = visit(child);
      if (!ts.isFunctionLike(child) || !("body" in child) || child.body === undefined) {
        inside += nested;
        return;
      }
      const start = lineAt(child.getStart(file));
      const lines = lineAt(child.end) - start + 1;
      lengths.push({ where: `${path.slice(PACKAGES.length + 1)}:${start + 1}`, lines, own: lines - nested });
      inside += lines;
    });
    return inside;
  }
  visit(file);
  return lengths;
}

test("no source file has more than 300 lines, and the receiver has at most 160", () => {
  expect(sources.filter((path) => linesOf(path) > 300)).toEqual([]);
  expect(linesOf(join(CORE, "receiver.ts"))).toBeLessThanOrEqual(160);
});

test("no function has more than 80 lines of its own, or 160 with the functions inside it", () => {
  const all = sources.flatMap(functionsOf);
  expect(all.length).toBeGreaterThan(1_000);
  expect(all.filter(({ lines, own }) => own > 80 || lines > 160)).toEqual([]);
});

test("a folder of core has at most nine files, and the top folder at most 18", () => {
  const inCore = sources.filter((path) => path.startsWith(CORE));
  for (const folder of new Set(inCore.map((path) => dirname(path)))) {
    const files = inCore.filter((path) => dirname(path) === folder);
    expect([folder, files.length <= (folder === CORE ? 18 : 9)]).toEqual([folder, true]);
  }
});
