import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { entryPoints, env, type Manifest, npm, pack, packages, run, type Tarball } from "./tarballs.js";

const here = fileURLToPath(new URL(".", import.meta.url));

const names = packages.map(({ name }) => name);
/** What a package needs that is not ours. */
const needsOf = ({ dependencies, peerDependencies }: Manifest) =>
  Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !names.includes(name));
/** Built on what has many dependencies of its own: that is linked, not installed. */
const onEngines = packages.filter(({ name }) => /^crowdhook$|\/(audit|otel|pg-boss|bullmq)$/.test(name));
const everyEntryPoint = packages.flatMap(entryPoints);

async function node(cwd: string, ...args: string[]): Promise<string> {
  return (await run(process.execPath, args, { cwd, env })).stdout;
}

let work: string;
let tarballs: Tarball[];
let esm: string;
let cjs: string;
let ts: string;

/**
 * An app that has the tarballs installed by npm, and the frameworks and types linked beside them. What
 * is built on engines is unpacked, as npm would, and its engines are linked.
 */
async function createApp(
  name: string,
  type: "module" | "commonjs",
  files: Record<string, string>,
): Promise<string> {
  const app = join(work, name);
  await mkdir(app);
  await writeFile(join(app, "package.json"), JSON.stringify({ name, private: true, type }));
  for (const [file, content] of Object.entries(files)) await writeFile(join(app, file), content);
  await npm(
    app,
    "install",
    // Offline and with a cache that is empty: only what the tarballs hold can be installed.
    ...["--offline", "--cache", join(work, `${name}-cache`)],
    ...["--omit=peer", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"],
    ...tarballs.filter(({ name }) => !onEngines.some((other) => other.name === name)).map(({ path }) => path),
  );
  for (const { name } of onEngines) {
    const folder = join(app, "node_modules", name);
    await mkdir(folder);
    const tarball = tarballs.find((tarball) => tarball.name === name)?.path ?? "";
    await run("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1"]);
  }
  const frameworks = ["express", "fastify", "koa", "@types/express", "@types/koa", "@types/node"];
  const linked = new Map(frameworks.map((module) => [module, module === "@types/node" ? "../" : ""]));
  for (const { folder, ...manifest } of onEngines) {
    for (const module of needsOf(manifest)) linked.set(module, `${folder}/`);
  }
  for (const [module, workspace] of linked) {
    const target = await realpath(resolve(here, `${workspace}node_modules`, module));
    const link = join(app, "node_modules", module);
    await mkdir(dirname(link), { recursive: true });
    await symlink(target, link, "dir");
  }
  return app;
}

const RECEIVE = `
  const receiver = createReceiver(toloka, { secret: "s3cret" });
  const reasons = [];
  receiver.on("POOL_CLOSED", (event) => { reasons.push(event.data.close_reason); });
  const events = [tolokaEvent("POOL_CLOSED", { close_reason: "MANUAL" })];
  const reply = await receiver.handle(signToloka({ secret: "s3cret", events }));
  console.log(JSON.stringify({ status: reply.status, reasons }));
`;
const RECEIVED = `${JSON.stringify({ status: 200, reasons: ["MANUAL"] })}\n`;

const ESM = `
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
${RECEIVE}`;

const CJS = `
const { createReceiver } = require("@crowdhook/core");
const { signToloka, tolokaEvent } = require("@crowdhook/core/testing");
const { toloka } = require("@crowdhook/core/toloka");
(async () => {${RECEIVE}})();
`;

const TYPESCRIPT = `
import express from "express";
import fastify from "fastify";
import Koa from "koa";
import { createServer } from "node:http";
import { createReceiver, memoryClaims, type Reply } from "@crowdhook/core";
import { mount, type Webhook } from "@crowdhook/core/adapter";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { ASSIGNMENT_EVENT_TYPES, toloka, type TolokaEvents } from "@crowdhook/core/toloka";
import { tolokaWebhook as inExpress } from "@crowdhook/express";
import { tolokaWebhook as inFastify } from "@crowdhook/fastify";
import { tolokaWebhook as inFetch } from "@crowdhook/fetch";
import { tolokaWebhook as inKoa } from "@crowdhook/koa";
import { tolokaWebhook as inNode } from "@crowdhook/node";
import { openTelemetry } from "@crowdhook/otel";
import { pgBossSink } from "@crowdhook/pg-boss";
import { bullmqSink } from "@crowdhook/bullmq";

async function main(): Promise<void> {
  const receiver = createReceiver(toloka, { secret: "s3cret", claims: memoryClaims() });
  const reasons: string[] = [];
  receiver.on("POOL_CLOSED", (event) => {
    reasons.push(event.data.close_reason);
    const when: Date = event.occurredAt;
    const type: "POOL_CLOSED" = event.type;
    // @ts-expect-error It is a string, and not any.
    const wrong: number = event.data.close_reason;
    return [when, type, wrong];
  });
  receiver.on(ASSIGNMENT_EVENT_TYPES, (event) => {
    const id: string = event.data.assignment_id;
    // @ts-expect-error Only a POOL_CLOSED event has one.
    const reason: string = event.data.close_reason;
    return [id, reason];
  });
  receiver.onAny((event) => {
    if (event.type === "DYNAMIC_OVERLAP_COMPLETED" && event.problems === undefined) {
      const confidence: number = event.data.confidence;
      return confidence;
    }
    return event.id;
  });
  const events = [tolokaEvent("POOL_CLOSED", { close_reason: "MANUAL" })];
  const reply: Reply = await receiver.handle(signToloka({ secret: "s3cret", events }));
  console.log(JSON.stringify({ status: reply.status, reasons }));
}

export async function mountEverywhere(secret: string | undefined): Promise<Webhook<TolokaEvents>[]> {
  const inApp = inExpress(secret, { path: "/hooks/toloka", on: { POOL_CLOSED: (event) => event.data.pool_id } });
  express().use(inApp).post("/elsewhere", inApp);
  const koa = inKoa([secret ?? "old", "new"]);
  new Koa().use(koa);
  const listener = inNode(() => "from a vault");
  createServer(listener);
  const app = fastify();
  await app.register(inFastify, { secret, prefix: "/hooks" });
  app.toloka.on("ASSIGNMENT_SUBMITTED", (event) => event.data.assignment_id);
  const POST: (request: Request) => Promise<Response> = inFetch(secret);
  // @ts-expect-error There is no such event.
  app.toloka.on("POOL_OPENED", () => POST);
  // @ts-expect-error Nor is there here.
  inFetch(secret, { on: { POOL_OPENED: () => undefined } });
  const sinks = [pgBossSink({ dataDir: "./data" }), bullmqSink({ connection: "redis://localhost" })];
  for (const sink of sinks) {
    const kept = createReceiver(toloka, { secret, sink, instrumentation: openTelemetry() });
    kept.on("POOL_CLOSED", async (event, { attempt, progress }) => progress?.({ of: event.data.pool_id, attempt }));
    sink.work(kept, { concurrency: 4 });
  }
  return [inApp, koa, listener, app.toloka, mount(toloka, secret).mounted];
}

void main();
`;

const TSCONFIG = {
  compilerOptions: {
    target: "ES2022",
    lib: ["ES2022"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    outDir: "out",
  },
  include: ["app.mts", "app.cts"],
};

/** Before TypeScript 6, `module: commonjs` alone resolved as node10, which ignores `exports`. */
const commonjs = (compilerOptions: object) => ({
  compilerOptions: {
    module: "commonjs",
    target: "ES2022",
    esModuleInterop: true,
    types: ["node"],
    strict: true,
    skipLibCheck: true,
    rootDir: ".",
    ...compilerOptions,
  },
  include: ["commonjs.cts", "every.cts"],
});

beforeAll(async () => {
  work = await realpath(await mkdtemp(join(tmpdir(), "crowdhook-packaging-")));
  // An installed dependency can be packed again, so that nothing has to come over the network.
  const installed = packages.filter((each) => !onEngines.includes(each));
  const dependencies = installed.flatMap(({ folder, dependencies = {} }) =>
    Object.keys(dependencies)
      .filter((name) => !names.includes(name))
      .map((name) => join(folder, "node_modules", name)),
  );
  const folders = new Set([...packages.map(({ folder }) => folder), ...dependencies]);
  tarballs = await Promise.all([...folders].map((folder) => pack(folder, work)));
  [esm, cjs, ts] = await Promise.all([
    createApp("esm", "module", { "app.js": ESM }),
    createApp("cjs", "commonjs", { "app.js": CJS }),
    createApp("ts", "module", {
      "tsconfig.json": JSON.stringify(TSCONFIG),
      "app.mts": TYPESCRIPT,
      "app.cts": TYPESCRIPT,
      "commonjs.cts": TYPESCRIPT,
      "every.cts": everyEntryPoint
        .map((name, index) => `import * as entry${index} from "${name}";\nvoid entry${index};`)
        .join("\n"),
      "tsconfig.default.json": JSON.stringify(commonjs({ outDir: "default" })),
      "tsconfig.node10.json": JSON.stringify(
        commonjs({ moduleResolution: "node10", ignoreDeprecations: "6.0", outDir: "node10" }),
      ),
    }),
  ]);
});

// Again and again, because where one installation fails the others may still be writing.
afterAll(() => rm(work, { recursive: true, force: true, maxRetries: 10 }));

describe("the tarball", () => {
  test.each(names)(
    "of %s holds what was built, its manifest, README, changes and licences, and nothing else",
    (name) => {
      const files = tarballs.find((tarball) => tarball.name === name)?.files ?? [];
      const built = files.filter((path) => path.startsWith("dist/"));
      expect(built).not.toEqual([]);
      expect(built.filter((path) => !/\.(js|cjs|js\.map|cjs\.map|d\.ts|d\.cts)$/.test(path))).toEqual([]);
      // Some bundle parts of other people's work.
      const notices = ["THIRD-PARTY-NOTICES.md"].filter((file) =>
        packages.some((each) => each.name === name && each.files.includes(file)),
      );
      const contracts = files.filter((path) => path.startsWith("contracts/"));
      expect(contracts.length > 0).toBe(name === "@crowdhook/core");
      expect(
        contracts.filter((path) => !/^contracts\/[\w-]+\.(json-schema|asyncapi|openapi)\.json$/.test(path)),
      ).toEqual([]);
      const vectors = files.filter((path) => path.startsWith("vectors/"));
      expect(vectors.length > 0).toBe(name === "@crowdhook/audit");
      expect(vectors.filter((path) => !/^vectors\/[\w-]+\.json$/.test(path))).toEqual([]);
      const data = [...contracts, ...vectors];
      // The first release of a package writes its changes.
      const known = [...built, ...data, "CHANGELOG.md"];
      const others = files.filter((path) => !known.includes(path));
      expect(others.sort()).toEqual(["LICENSE", "README.md", ...notices, "package.json"]);
    },
  );

  test.each(names)("of %s names its dependencies in a way that npm understands", async (name) => {
    const manifest = await readFile(join(esm, "node_modules", name, "package.json"), "utf8");
    expect(manifest).not.toMatch(/"(workspace|catalog|link|file|portal):/);
  });
});

describe("an ESM app", () => {
  test("receives a signed delivery", async () => {
    expect(await node(esm, "app.js")).toBe(RECEIVED);
  });

  test("can import every entry point", async () => {
    const script = `
      for (const name of process.argv.slice(1)) {
        const names = Object.keys(await import(name));
        const file = import.meta.resolve(name);
        console.log(name, names.length > 0, file.slice(file.lastIndexOf(".")));
      }`;
    expect(await node(esm, "--input-type=module", "-e", script, ...everyEntryPoint)).toBe(
      everyEntryPoint.map((name) => `${name} true .js\n`).join(""),
    );
  });
});

describe("a CJS app", () => {
  test("receives a signed delivery", async () => {
    expect(await node(cjs, "app.js")).toBe(RECEIVED);
  });

  test("can require every entry point", async () => {
    const script = `
      for (const name of process.argv.slice(1)) {
        const names = Object.keys(require(name));
        const file = require.resolve(name);
        console.log(name, names.length > 0, file.slice(file.lastIndexOf(".")));
      }`;
    expect(await node(cjs, "-e", script, ...everyEntryPoint)).toBe(
      everyEntryPoint.map((name) => `${name} true .cjs\n`).join(""),
    );
  });
});

describe("a strict TypeScript app", () => {
  test("gets each event's type without a cast, in every framework, as ESM and as CJS", {
    timeout: 120_000,
  }, async () => {
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const complaints = await node(ts, tsc).catch((error: { stdout: string }) => error.stdout);
    expect(complaints).toBe("");
    expect(await node(ts, "out/app.mjs")).toBe(RECEIVED);
    expect(await node(ts, "out/app.cjs")).toBe(RECEIVED);
  });
});

describe("a TypeScript app that sets module to commonjs", () => {
  test.each(["default", "node10"])(
    "with the module resolution %s finds every entry point and each event's type",
    {
      timeout: 120_000,
    },
    async (resolution) => {
      const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
      const project = `tsconfig.${resolution}.json`;
      const complaints = await node(ts, tsc, "-p", project).catch(
        (error: { stdout: string }) => error.stdout,
      );
      expect(complaints).toBe("");
      expect(await node(ts, `${resolution}/commonjs.cjs`)).toBe(RECEIVED);
    },
  );
});

describe("a bundle for the edge", () => {
  test.each(["workerd", "edge-light", "default"])(
    "under the condition %s imports nothing of Node's and receives a signed delivery",
    async (condition) => {
      const outfile = join(work, `${condition}.mjs`);
      const { metafile } = await build({
        stdin: {
          contents: `
            import { tolokaWebhook } from "@crowdhook/fetch";
            export const reasons = [];
            export const POST = tolokaWebhook("s3cret", {
              on: { POOL_CLOSED: (event) => { reasons.push(event.data.close_reason); } },
            });`,
          resolveDir: esm,
        },
        outfile,
        bundle: true,
        metafile: true,
        format: "esm",
        platform: "neutral",
        conditions: [condition],
        // Kept as imports, to be seen below.
        external: ["node:*"],
      });
      const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
      expect(imports).toEqual([]);

      const { POST, reasons } = await import(pathToFileURL(outfile).href);
      const events = [tolokaEvent("POOL_CLOSED", { close_reason: "MANUAL" })];
      const request = new Request("http://localhost/", signToloka({ secret: "s3cret", events }));
      expect((await POST(request)).status).toBe(200);
      expect(reasons).toEqual(["MANUAL"]);
    },
  );
});
