import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Running, start } from "../cli-process.js";
import { request } from "../request.js";
import { entryPoints, packages } from "../tarballs.js";
import type { Report } from "./apps/packages.js";
import type { AppState } from "./apps/webhooks.js";
import { RUNTIMES, type Runtime } from "./runtimes.js";
import { PACKAGES } from "./setup.js";
import { CHECKS } from "./suite.js";

const apps = inject("apps");
const executables = inject("executables");

/** How long to wait for what is not expected to come, in milliseconds. */
const SHORTLY = 500;

function launch(runtime: Runtime, file: string, ...args: string[]): Running {
  const [command = "", ...rest] = runtime.command(executables[runtime.package]?.path ?? "", file);
  // What the workspace has installed must not be found.
  const env = { NODE_PATH: "", DENO_DIR: `${apps}/.deno`, DENO_NO_UPDATE_CHECK: "1" };
  return start(command, [...rest, ...args], { cwd: apps, env });
}

for (const runtime of RUNTIMES) {
  const { title } = runtime;
  const { problem } = executables[runtime.package] ?? {};
  if (problem !== undefined) {
    console.error(
      `${title} could not be fetched, so nothing is known of it: ${problem}\n` +
        "With npm's registry in reach, this fetches and tests it: npx -y pnpm@10.34.9 test:runtimes",
    );
  }

  for (const [adapter, file] of Object.entries(runtime.apps)) {
    describe.skipIf(problem !== undefined)(`${title} · ${adapter} ·`, () => {
      let app: Running;
      let origin: string;
      beforeAll(async () => {
        app = launch(runtime, file);
        const [, ...ports] = await app.printed(/127\.0\.0\.1:(\d+)|"port":(\d+)/);
        origin = `http://127.0.0.1:${ports.find((port) => port !== undefined)}`;
      });
      afterAll(async () => {
        const hasEnded = app.child.exitCode !== null || app.child.signalCode !== null;
        // Nothing less: asked to end, some wait for listeners that no check releases any more.
        app.child.kill("SIGKILL");
        const { stderr } = await app.ended;
        if (hasEnded) throw new Error(`The app ended by itself: ${stderr}`);
      });

      for (const { provider, name, run } of CHECKS) {
        const reason = runtime.lacks[name];
        if (reason === undefined) test(`${provider}: ${name}`, () => run(origin));
        else test.fails(`${provider}: ${name}: not here, for ${reason}`, () => run(origin, SHORTLY));
      }

      test(`signatures are verified with ${runtime.verifies}`, async () => {
        const { text } = await request(origin, { method: "GET", path: "/app" });
        const { webCrypto } = JSON.parse(text) as AppState;
        expect(webCrypto ? "WebCrypto" : "node:crypto").toBe(runtime.verifies);
      });
    });
  }

  if (!runtime.loadsPackages) continue;
  describe.skipIf(problem !== undefined)(`${title} · packages ·`, () => {
    const names = packages.filter(({ name }) => PACKAGES.includes(name)).flatMap(entryPoints);
    let report: Report;
    beforeAll(async () => {
      const { code, stdout, stderr } = await launch(runtime, "packages.js", ...names).ended;
      expect([code, stderr]).toEqual([0, ""]);
      report = JSON.parse(stdout);
    });

    test("every entry point can be imported", () => {
      expect(report.imported).toEqual(names.map((name) => [name, ".js", expect.toSatisfy((n) => n > 0)]));
    });

    test("every entry point can be required", () => {
      expect(report.required).toEqual(names.map((name) => [name, ".cjs", expect.toSatisfy((n) => n > 0)]));
    });

    test("what was imported receives a signed delivery, and so does what was required", () => {
      expect(report.statuses).toEqual([200, 200]);
    });

    test("a record of each delivery is published on crowdhook:delivery", () => {
      expect(report.published).toBe(2);
    });
  });
}
