import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

const ADAPTERS = ["node", "express", "fastify", "koa", "fetch"];
const FRAMEWORKS = ["express", "koa", "fastify", "fastify-plugin"];

/** Bundles an app with this code, which uses an adapter. */
async function bundle(adapter: string, contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: "esm",
    platform: adapter === "fetch" ? "browser" : "node",
    conditions: adapter === "fetch" ? ["workerd"] : [],
    external: FRAMEWORKS,
    // Ours points #hmac at the source; an app's does not.
    tsconfigRaw: {},
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** In bytes, with little room above the largest adapter. Raise it only for something that each user needs. */
const GZIP_MAX = 29_500;
/** For the check of a definition, in the apps that use it. */
const CHECK_GZIP_MAX = 1_700;

/** Texts that each provider's code has, and no other's: its header, and an event type or a field. */
const MARKS = {
  toloka: [/toloka-signature/i, /ASSIGNMENT_SUBMITTED/, /pool_id/],
  prolific: [/x-prolific-request/i, /submission\.status\.change/, /resource_id/],
  cvat: [/x-signature-256/i, /before_update|webhook_id/],
  "standard-webhooks": [/webhook-signature/i, /whsec_/, /record\.completed/],
} as const;

/** The code of an app that receives one provider, in the shortest way that the adapter offers. */
function appOf(adapter: string, provider: keyof typeof MARKS): string {
  if (provider === "toloka" || provider === "prolific")
    return `import { ${provider}Webhook } from "@crowdhook/${adapter}"; export default ${provider}Webhook;`;
  const [names, value] =
    provider === "cvat"
      ? ["cvat", "cvat"]
      : ["ARGILLA_EVENTS, standardWebhooks", "standardWebhooks(ARGILLA_EVENTS)"];
  return `import { ${names} } from "@crowdhook/core/${provider}";
    import { webhook } from "@crowdhook/${adapter}";
    export default (secret) => webhook(${value}, secret);`;
}

const providers = Object.keys(MARKS) as (keyof typeof MARKS)[];

test.each(ADAPTERS)(
  "an app that receives one provider with @crowdhook/%s bundles nothing of the others",
  async (adapter) => {
    for (const provider of providers) {
      const text = await bundle(adapter, appOf(adapter, provider));
      expect(gzipSync(text).length).toBeLessThan(
        GZIP_MAX + (provider === "standard-webhooks" ? CHECK_GZIP_MAX : 0),
      );
      for (const [other, marks] of Object.entries(MARKS))
        expect([other, marks.map((mark) => mark.test(text))]).toEqual([
          other,
          marks.map(() => other === provider),
        ]);
    }
  },
);

// A cold start takes 1 to 2 ms for each file. The number of files is the same on every machine.
test.each(ADAPTERS)("@crowdhook/%s loads at most 10 files, its own and those of core", async (adapter) => {
  const { metafile } = await build({
    stdin: { contents: `import "@crowdhook/${adapter}"`, resolveDir: import.meta.dirname },
    bundle: true,
    external: FRAMEWORKS,
    format: "esm",
    // Otherwise esbuild drops the imports, because the packages have no side effects.
    ignoreAnnotations: true,
    logLevel: "error",
    metafile: true,
    platform: "node",
    tsconfigRaw: {},
    write: false,
  });
  const files = Object.keys(metafile.inputs).filter((path) => path.includes("dist/"));
  expect(files.length).toBeGreaterThan(2);
  expect(files.length).toBeLessThanOrEqual(10);
});

test.each([
  { format: "ESM", contents: 'export * from "@crowdhook/core/testing";' },
  { format: "CJS", contents: 'module.exports = require("@crowdhook/core/testing");' },
])("@crowdhook/core/testing does not load node:assert as $format", async ({ contents }) => {
  const { metafile } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    metafile: true,
    platform: "node",
    tsconfigRaw: {},
    write: false,
  });
  const loaded = Object.values(metafile.inputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  // The build removes the prefix "node:".
  expect(loaded).toContain("crypto");
  expect(loaded.filter((path) => /assert/.test(path))).toEqual([]);
});

test("the bundle of @crowdhook/subscriptions imports no module of Node", async () => {
  const { metafile } = await build({
    stdin: { contents: 'export * from "@crowdhook/subscriptions"', resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    tsconfigRaw: {},
  });
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
});
