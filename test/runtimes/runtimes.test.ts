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

/** How long to wait for what is not expected to happen, in milliseconds. */
const SHORTLY = 500;

function launch(runtime: Runtime, file: string, ...args: string[]): Running {
  const [command = "", ...rest] = runtime.command(executables[runtime.package]?.path ?? "", file);
  // The app must not find the packages that the workspace has installed.
  const env = { NODE_PATH: "", DENO_DIR: `${apps}/.deno`, DENO_NO_UPDATE_CHECK: "1" };
  return start(command, [...rest, ...args], { cwd: apps, env });
}

for (const runtime of RUNTIMES) {
  const { title } = runtime;
  const { problem } = executables[runtime.package] ?? {};
  if (problem !== undefined) {
    console.error(
      `${title} could not be fetched, so its checks are skipped: ${problem}\n` +
        "Run this again when npm's registry is reachable: npx -y pnpm@10.34.9 test:runtimes",
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
        // SIGKILL, because some apps answer SIGTERM by waiting for listeners that no check releases any more.
        app.child.kill("SIGKILL");
        const { stderr } = await app.ended;
        if (hasEnded) throw new Error(`The app ended by itself: ${stderr}`);
      });

      for (const { provider, name, run } of CHECKS) {
        const reason = runtime.lacks[name];
        if (reason === undefined) test(`${provider}: ${name}`, () => run(origin));
        else test.fails(`${provider}: does not hold here: ${name}: ${reason}`, () => run(origin, SHORTLY));
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

    test("imported and required packages handle a signed delivery", () => {
      expect(report.statuses).toEqual([200, 200]);
    });

    test("each delivery publishes a record on crowdhook:delivery", () => {
      expect(report.published).toBe(2);
    });
  });
}
