import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { HOSTILE, type HostileOptions } from "./hostile-worker.js";

/** The limit of the heap in MB, about 48 times the largest body. Node ends a process that needs more. */
const HEAP_MAX = 256;

async function handle(options: HostileOptions) {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`--max-old-space-size=${HEAP_MAX}`, "--import", "tsx", "hostile-worker.ts", JSON.stringify(options)],
    { cwd: import.meta.dirname },
  );
  return JSON.parse(stdout) as { size: number; status: number; handled: string[] };
}

const contents = Object.keys(HOSTILE) as HostileOptions["content"][];

describe(`a delivery of 5 MiB needs no more than ${HEAP_MAX} MB of heap`, () => {
  test.each(contents)("with %s, and its valid events are handled", async (content) => {
    for (const target of ["listeners", "sink"] as const) {
      const { size, status, handled } = await handle({ content, target, signed: true });
      expect(size).toBeGreaterThan(4.5 * 1024 * 1024);
      if (content === "many empty events") {
        // More events than `maxEvents`: the delivery is refused as a whole.
        expect([status, handled]).toEqual([400, []]);
      } else {
        expect([200, 500]).toContain(status);
        expect(handled).toContain("before");
        expect(handled).toContain("after");
      }
    }
  });

  test.each(contents)("with %s and a forged signature", async (content) => {
    expect(await handle({ content, target: "listeners", signed: false })).toMatchObject({
      status: 401,
      handled: [],
    });
  });
});
