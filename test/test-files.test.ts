import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TEST_GROUPS } from "./groups.js";

const MAX_LINES = 400;

const files = [...TEST_GROUPS.values()].flatMap(({ files }) => files);

test(`a test file has at most ${MAX_LINES} lines`, () => {
  const linesOf = (file: string) =>
    readFileSync(join(import.meta.dirname, "..", file), "utf8").split("\n").length;
  expect(files).toContain("test/test-files.test.ts");
  expect(files.filter((file) => linesOf(file) > MAX_LINES)).toEqual([]);
});

test("a test file belongs to the group that its name and imports ask for", () => {
  const groupOf = (name: string) => [...TEST_GROUPS].find(([, { files }]) => files.includes(name))?.[0];
  expect(groupOf("packages/core/test/many.slow.test.ts")).toBe("slow");
  expect(groupOf("test/redis-processes.test.ts")).toBe("servers");
  expect(groupOf("test/packaging.test.ts")).toBe("built");
  expect(groupOf("test/adapters.test.ts")).toBe("fast");
});
