import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

async function bundle(adapter: string, name: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ${name} } from "@crowdhook/${adapter}"; export default ${name};`,
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    minify: true,
    format: "esm",
    platform: adapter === "fetch" ? "browser" : "node",
    conditions: adapter === "fetch" ? ["workerd"] : [],
    external: ["express", "koa", "fastify", "fastify-plugin"],
    // Ours points #hmac at the source; an app's does not.
    tsconfigRaw: {},
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** In bytes, with little room above the largest adapter. Raise it only for something that each user needs. */
const GZIP_MAX = 28_000;

test.each(["node", "express", "fastify", "koa", "fetch"])(
  "an app that imports one provider from @crowdhook/%s bundles nothing of the other",
  async (adapter) => {
    const toloka = await bundle(adapter, "tolokaWebhook");
    const prolific = await bundle(adapter, "prolificWebhook");
    expect(gzipSync(toloka).length).toBeLessThan(GZIP_MAX);
    expect(gzipSync(prolific).length).toBeLessThan(GZIP_MAX);
    expect(toloka).toContain("ASSIGNMENT_SUBMITTED");
    expect(toloka).toContain("toloka-signature");
    expect(toloka).not.toMatch(/prolific|resource_id/i);
    expect(prolific).toContain("submission.status.change");
    expect(prolific).not.toMatch(/toloka|ASSIGNMENT_|pool_id/i);
  },
);

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
