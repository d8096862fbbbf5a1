import { describe, expect, test, vi } from "vitest";
import { toloka } from "../src/providers/toloka/index.js";
import { createReceiver } from "../src/receiver.js";
import { rewriteJson } from "../src/signature/json-spellings.js";
import { signToloka } from "../src/testing.js";

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

describe("rewriteJson", () => {
  test("rewrites JSON of up to 12 levels, and does not count brackets in strings", () => {
    expect(rewriteJson(nested(12))).toContain(nested(12));
    expect(rewriteJson(nested(13))).toEqual([]);
    const text = JSON.stringify([nested(100), `\\"${"{".repeat(100)}`, { '["[': "\\" }]);
    expect(rewriteJson(text)).toContain(text);
  });

  test("returns nothing for a text that is not JSON", () => {
    for (const text of ["", "[", "]".repeat(100), '"[', '"\\', "{".repeat(10)])
      expect(rewriteJson(text)).toEqual([]);
  });
});

test.for<readonly [string, string]>([
  ["100 times 1,000 deep", `[${Array(100).fill(nested(1_000)).join(",")}]`],
  ["10,000 deep", nested(10_000)],
  ["100,000 deep in objects", `${'{"a":'.repeat(40_000)}1${"}".repeat(40_000)}`],
])(
  "a receiver explains a forged delivery that is nested %s without writing it again",
  async ([, body = ""]) => {
    const lines: string[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (line: string) => lines.push(line) };
    const stringify = vi.spyOn(JSON, "stringify");
    const receiver = createReceiver(toloka, { secret: "s3cr3t", logger });
    const reply = await receiver.handle(signToloka({ secret: "guessed", body }));
    const written = stringify.mock.results.map(({ value }) => String(value).length);
    vi.restoreAllMocks();
    expect(reply.status).toBe(401);
    expect(lines).toMatchObject([expect.stringContaining("SIGNATURE_MISMATCH")]);
    expect(Math.max(...written)).toBeLessThan(1_000);
  },
);
