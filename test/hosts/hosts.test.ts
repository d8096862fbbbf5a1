import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Running } from "../cli-process.js";
import { buildApp, command, startApp, writeApp } from "./apps.js";
import { type App, checksFor } from "./checks.js";
import { HOSTS, type Host } from "./hosts.js";
import { recipeFiles } from "./recipes.js";

const installed = inject("installed");
/** The folder of each app. */
const folders = new Map<Host, string>();

// All at once, so that the types can be checked even if only some hosts are run.
beforeAll(async () => {
  for (const host of HOSTS) folders.set(host, await writeApp(installed, host));
});

for (const host of HOSTS) {
  describe(`${host.title} ·`, () => {
    let running: Running | undefined;
    let app: App;

    beforeAll(async () => {
      const folder = folders.get(host) ?? "";
      await buildApp(installed, folder, host);
      running = await startApp(installed, folder, host);
      const [, ...ports] = await running.printed(/^listening (\d+)|"port":(\d+)/m);
      app = { host, running, origin: `http://127.0.0.1:${ports.find((port) => port !== undefined)}` };
    });

    afterAll(async () => {
      if (running === undefined) return;
      const hasEnded = running.child.exitCode !== null || running.child.signalCode !== null;
      running.child.kill("SIGKILL");
      const { stderr } = await running.ended;
      if (hasEnded) throw new Error(`The app ended by itself: ${stderr}`);
    });

    for (const { name, run } of checksFor(host)) test(name, () => run(app));
  });
}

describe("the recipes", () => {
  test("are all in the table of hosts", () => {
    const used = HOSTS.flatMap(({ recipes }) => recipes);
    expect(recipeFiles().filter(({ recipe }) => !used.includes(recipe))).toEqual([]);
  });

  // Next, SvelteKit and Nest check the types while they build.
  test.each([
    ["Node and Bun", "transpile", "node"],
    ["Workers", "worker", "@cloudflare/workers-types"],
  ])("for %s type-check", async (_runtime, build, types) => {
    const config = join(installed, `tsconfig.${build}.json`);
    const compilerOptions = {
      target: "ES2022",
      module: "ESNext",
      moduleResolution: "Bundler",
      types: [types],
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    };
    const hosts = HOSTS.filter((host) => host.build === build && host.aliases === undefined);
    const include = hosts.map(({ id }) => `apps/${id}/*.ts`);
    await writeFile(config, JSON.stringify({ compilerOptions, include }));
    await command(installed, installed, ["tsc", "-p", config]);
  });
});

test("Jest imports and runs the packages in its jsdom environment", async () => {
  await command(installed, join(installed, "jsdom"), [
    "jest",
    ...["--env=jsdom", "--rootDir=.", "--testMatch=**/*.test.cjs"],
  ]);
});
