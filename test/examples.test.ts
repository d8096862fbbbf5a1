import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";

const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));

interface Vector {
  readonly name: string;
  readonly secret: string;
  readonly header: string;
  readonly body: string;
}
const vectors: { valid: Vector[] } = JSON.parse(
  readFileSync(new URL("vectors/toloka.json", import.meta.url), "utf8"),
);
const documented = vectors.valid.find(({ name }) => name === "documentation-example");

type Child = ChildProcessByStdio<null, Readable, null>;
const children: Child[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function start(example: string): Child {
  const child = spawn(process.execPath, ["--import", "tsx", "server.ts"], {
    cwd: `${EXAMPLES}/${example}`,
    env: { ...process.env, PORT: "0", TOLOKA_SECRET: documented?.secret, TOLERANCE: "1e9" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

describe.for(["express", "fastify", "koa", "node", "fetch"])("examples/%s", (example) => {
  test("handles the documented example once, beside a JSON route of its own", async () => {
    const child = start(example);
    const exited = once(child, "exit");
    const lines = createInterface(child.stdout);
    const printed: string[] = [];
    const url = await new Promise<string>((resolve, reject) => {
      lines.on("line", (line) => {
        const origin = /^Listening on (http:\S+)$/.exec(line)?.[1];
        if (origin) resolve(origin);
        else printed.push(line);
      });
      lines.on("close", () => reject(new Error("It ended before it listened.")));
    });

    const send = async () => {
      const response = await fetch(`${url}/toloka-webhook`, {
        method: "POST",
        headers: { "content-type": "application/json", "toloka-signature": documented?.header ?? "" },
        body: Buffer.from(documented?.body ?? ""),
      });
      return { status: response.status, reply: await response.json() };
    };
    const counts = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };
    expect(await send()).toEqual({ status: 200, reply: { ...counts, handled: 1 } });
    expect(await send()).toEqual({ status: 200, reply: { ...counts, duplicate: 1 } });

    const echoed = await fetch(`${url}/echo`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"its": "own"}',
    });
    expect(await echoed.json()).toEqual({ echo: { its: "own" } });

    // Its output is complete once it has ended.
    const closed = once(lines, "close");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    await closed;
    expect(printed).toEqual(["ASSIGNMENT_APPROVED assignment-1"]);
  });

  test("does not start without a secret, and says so", async () => {
    const run = promisify(execFile)(process.execPath, ["--import", "tsx", "server.ts"], {
      cwd: `${EXAMPLES}/${example}`,
      env: { ...process.env, PORT: "0", TOLOKA_SECRET: undefined },
    });
    const failure = await run.catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 1, stderr: expect.stringContaining("The secret is undefined") });
  });
});

test("the demo goes as its table says, and fits a terminal", async () => {
  const demo = await promisify(execFile)(process.execPath, ["--import", "tsx", "demo.ts"], {
    cwd: `${EXAMPLES}/demo`,
  });
  expect(demo.stdout).toContain("All 16 deliveries were answered and heard as expected.");
  expect(demo.stderr).toBe("");
  for (const line of demo.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(101);
});
