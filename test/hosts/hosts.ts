import { readFileSync } from "node:fs";

function versionOf(installedAs: string, manifest = "package.json"): string {
  const { dependencies } = JSON.parse(readFileSync(new URL(manifest, import.meta.url), "utf8"));
  const version = dependencies[installedAs]?.replace(/^npm:.*@/, "");
  if (version === undefined) throw new Error(`${installedAs} is not in test/hosts/${manifest}.`);
  return version;
}

/** Returns "Express 5.3.0" for the version that is installed under a package name. */
const titled = (name: string, installedAs: string) => `${name} ${versionOf(installedAs)}`;

export interface Host {
  /** Name of the app's folder. */
  readonly id: string;
  /** Name and version in test names and in the table. */
  readonly title: string;
  /** The package of this repository that the recipe mounts. */
  readonly adapter: string;
  /** Recipes of docs/guides/hosts.md that make up the app. */
  readonly recipes: readonly string[];
  /** Files of the app around the recipe. */
  readonly files?: Readonly<Record<string, string>>;
  /** Packages that the app finds under another name than they are installed as. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** How the app is built: types are removed, or a command of `node_modules/.bin` runs, or esbuild bundles a Worker. */
  readonly build: "transpile" | "worker" | readonly (readonly string[])[];
  /** The program and its arguments. Node is preloaded with a module that prints the port. */
  readonly start: { readonly program: "node" | "bun" | "workerd"; readonly args: readonly string[] };
  readonly env?: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly http2?: boolean;
  /** How a request with JSON to another path is answered. `undefined` if the host routes outside of the app. */
  readonly elsewhere:
    | { readonly path: string; readonly status: number; readonly echoes?: boolean }
    | undefined;
}

const APP = { build: "transpile", start: { program: "node", args: ["app.js"] } } as const;
const NOT_FOUND = { path: "/pools", status: 404 } as const;
const ECHO = { path: "/pools", status: 200, echoes: true } as const;

/** NestJS 12 is ESM. Apps of NestJS 11 are CommonJS, for which TypeScript resolves as node10. */
const NEST = {
  11: { type: "commonjs", module: "CommonJS" },
  12: { type: "module", module: "NodeNext" },
} as const;

const nestTsconfig = (module: string) =>
  JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      module,
      types: ["node"],
      strict: true,
      skipLibCheck: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      rootDir: "src",
      outDir: "dist",
    },
    include: ["src"],
  });

const NEST_APP = {
  "src/pools.service.ts": `
import { Injectable } from "@nestjs/common";

@Injectable()
export class PoolsService {
  close(id: string) {
    console.log("closed", id);
  }
}
`,
  "src/pools.controller.ts": `
import { Body, Controller, Post } from "@nestjs/common";

@Controller("pools")
export class PoolsController {
  @Post()
  create(@Body() pool: object) {
    return pool;
  }
}
`,
  "src/pools.module.ts": `
import { Module } from "@nestjs/common";
import { PoolsController } from "./pools.controller.js";
import { PoolsService } from "./pools.service.js";

@Module({ controllers: [PoolsController], providers: [PoolsService], exports: [PoolsService] })
export class PoolsModule {}
`,
  "src/app.module.ts": `
import { Module } from "@nestjs/common";
import { TolokaModule } from "./toloka.module.js";

@Module({ imports: [TolokaModule] })
export class AppModule {}
`,
};

function nest(major: 11 | 12, platform: "express" | "fastify", way: "middleware" | "controller"): Host {
  const { type, module } = NEST[major];
  const version = versionOf("@nestjs/core", major === 11 ? "nest11/package.json" : "package.json");
  return {
    id: `nest${major}-${platform}-${way}`,
    title: `NestJS ${version} on ${platform === "express" ? "Express" : "Fastify"}, ${way}`,
    adapter: way === "middleware" ? "express" : "core",
    recipes: ["nest", `nest-${way}`, `nest-${platform}-${way}`],
    files: {
      ...NEST_APP,
      "package.json": JSON.stringify({ private: true, type }),
      "tsconfig.json": nestTsconfig(module),
    },
    ...(major === 11 ? { aliases: { "@nestjs": "../nest11/node_modules/@nestjs" } } : {}),
    build: [["tsc", "-p", "."]],
    start: { program: "node", args: ["dist/main.js"] },
    elsewhere: { ...ECHO, status: 201 },
  };
}

function lambda(encoding: "text" | "base64"): Host {
  return {
    id: `lambda-${encoding}`,
    title: `AWS Lambda, body as ${encoding}`,
    adapter: "core",
    recipes: ["lambda"],
    build: "transpile",
    start: { program: "node", args: ["../../stand-ins/lambda.js", encoding] },
    elsewhere: undefined,
  };
}

/** The hosts of the suite. `docs/guides/hosts.md` has a row for each of them. */
export const HOSTS: readonly Host[] = [
  {
    ...APP,
    id: "express",
    title: titled("Express", "express"),
    adapter: "express",
    recipes: ["express"],
    elsewhere: ECHO,
  },
  {
    ...APP,
    id: "express4",
    title: titled("Express", "express4"),
    adapter: "express",
    recipes: ["express"],
    aliases: { express: "express4" },
    elsewhere: ECHO,
  },
  {
    ...APP,
    id: "fastify",
    title: titled("Fastify", "fastify"),
    adapter: "fastify",
    recipes: ["fastify"],
    elsewhere: ECHO,
  },
  {
    ...APP,
    id: "koa",
    title: titled("Koa", "koa"),
    adapter: "koa",
    recipes: ["koa"],
    elsewhere: NOT_FOUND,
  },
  {
    ...APP,
    id: "koa2",
    title: titled("Koa", "koa2"),
    adapter: "koa",
    recipes: ["koa"],
    aliases: { koa: "koa2" },
    elsewhere: NOT_FOUND,
  },
  { ...APP, id: "node", title: "node:http", adapter: "node", recipes: ["node"], elsewhere: NOT_FOUND },
  {
    ...APP,
    id: "http2",
    title: "node:http2",
    adapter: "node",
    recipes: ["http2"],
    http2: true,
    elsewhere: NOT_FOUND,
  },
  ...([12, 11] as const).flatMap((major) => [
    nest(major, "express", "middleware"),
    nest(major, "fastify", "middleware"),
    nest(major, "express", "controller"),
    nest(major, "fastify", "controller"),
  ]),
  {
    id: "next",
    title: titled("Next.js", "next"),
    adapter: "fetch",
    recipes: ["next"],
    files: {
      "tsconfig.json": JSON.stringify({
        compilerOptions: { strict: true, module: "esnext", moduleResolution: "bundler" },
      }),
    },
    build: [["next", "build"]],
    start: { program: "node", args: ["../../node_modules/next/dist/bin/next", "start"] },
    env: { NEXT_TELEMETRY_DISABLED: "1" },
    elsewhere: NOT_FOUND,
  },
  {
    id: "sveltekit",
    title: titled("SvelteKit", "@sveltejs/kit"),
    adapter: "fetch",
    recipes: ["sveltekit"],
    files: {
      "svelte.config.js": `
import adapter from "@sveltejs/adapter-node";
export default { kit: { adapter: adapter() } };
`,
      "vite.config.js": `
import { sveltekit } from "@sveltejs/kit/vite";
export default { plugins: [sveltekit()] };
`,
      "src/app.html": "<html><head>%sveltekit.head%</head><body>%sveltekit.body%</body></html>",
      "src/routes/pools/+server.ts": `
export const POST = async ({ request }: { request: Request }) => Response.json(await request.json());
`,
      "tsconfig.json": JSON.stringify({ extends: "./.svelte-kit/tsconfig.json" }),
    },
    build: [
      ["vite", "build"],
      ["tsc", "-p", ".", "--noEmit", "--skipLibCheck"],
    ],
    start: { program: "node", args: ["build"] },
    elsewhere: ECHO,
  },
  { ...APP, id: "h3", title: titled("h3", "h3"), adapter: "fetch", recipes: ["h3"], elsewhere: ECHO },
  { ...APP, id: "hono", title: titled("Hono", "hono"), adapter: "fetch", recipes: ["hono"], elsewhere: ECHO },
  {
    id: "elysia",
    title: `${titled("Elysia", "elysia")} on ${titled("Bun", "bun")}`,
    adapter: "fetch",
    recipes: ["elysia"],
    build: "transpile",
    start: { program: "bun", args: ["app.js"] },
    elsewhere: ECHO,
  },
  {
    id: "workers",
    title: titled("Cloudflare workerd", "workerd"),
    adapter: "fetch",
    recipes: ["workers"],
    files: {
      "worker-configuration.d.ts": "declare namespace Cloudflare { interface Env { TOLOKA_SECRET: string } }",
    },
    build: "worker",
    start: { program: "workerd", args: ["serve", "worker.capnp", "--control-fd=1"] },
    elsewhere: NOT_FOUND,
  },
  lambda("text"),
  lambda("base64"),
  {
    id: "cloud-functions",
    title: titled("Google Cloud Functions framework", "@google-cloud/functions-framework"),
    adapter: "node",
    recipes: ["cloud-functions"],
    build: "transpile",
    start: {
      program: "node",
      args: ["../../node_modules/@google-cloud/functions-framework/build/src/main.js", "--target=toloka"],
    },
    path: "/",
    elsewhere: NOT_FOUND,
  },
  {
    id: "azure",
    title: titled("Azure Functions", "@azure/functions"),
    adapter: "core",
    recipes: ["azure"],
    build: "transpile",
    start: { program: "node", args: ["../../stand-ins/azure.js"] },
    path: "/api/toloka-webhook",
    elsewhere: undefined,
  },
];
