import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { audit, type Check } from "@crowdhook/audit";
import type * as nodeAdapter from "@crowdhook/node";
import { build, type Plugin } from "esbuild";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  checksOf,
  idsOf,
  idsWith,
  isQuick,
  LONG,
  type OnTestFinished,
  PROVIDERS,
  secrets,
  startServer,
} from "./audit-runs.js";
import type { EndpointProvider } from "./plain-endpoint.js";

// Receivers log the deliveries that they refuse.
beforeAll(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

describe("audit of a mutated adapter", () => {
  const folder = mkdtempSync(join(import.meta.dirname, ".tmp-mutants-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const packages = fileURLToPath(new URL("../packages/", import.meta.url));
  const core = `${packages}core/src/`;

  /** The path of a file of core, in whichever folder it is. */
  function coreFile(name: string): string {
    const found = readdirSync(core, { recursive: true, encoding: "utf8" }).find(
      (file) => basename(file) === name,
    );
    if (found === undefined) throw new Error(`core has no file ${name}.`);
    return core + found;
  }

  /** Builds the adapter for node:http from its sources, with a mutation. */
  async function buildAdapter(name: string, mutation: Plugin): Promise<typeof nodeAdapter> {
    const outfile = join(folder, `${name}.mjs`);
    const fromSource: Plugin = {
      name: "from source",
      setup({ onResolve }) {
        onResolve({ filter: /^#(hmac|diagnostics)$/ }, ({ path }) => ({
          path: coreFile(`${path.slice(1)}.node.ts`),
        }));
        onResolve({ filter: /^@crowdhook\/core/ }, ({ path }) => {
          const [, , entry = "index"] = path.split("/");
          const isProvider = entry === "toloka" || entry === "prolific";
          return { path: `${core}${isProvider ? `providers/${entry}/index` : entry}.ts` };
        });
      },
    };
    await build({
      entryPoints: [`${packages}node/src/index.ts`],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      plugins: [mutation, fromSource],
    });
    return import(pathToFileURL(outfile).href);
  }

  /** Replaces some exports of a module. */
  function replacing(filter: RegExp, file: string, replacement: string) {
    const replaced: string[] = [];
    const plugin: Plugin = {
      name: "mutation",
      setup({ onResolve, onLoad }) {
        onResolve({ filter }, ({ importer }) => {
          if (!importer.startsWith(core)) return undefined;
          replaced.push(importer);
          return { path: file, namespace: "mutant" };
        });
        onLoad({ filter: /.*/, namespace: "mutant" }, () => ({
          contents: `import * as real from ${JSON.stringify(file)};
            export * from ${JSON.stringify(file)};
            ${replacement}`,
          resolveDir: core,
        }));
      },
    };
    return { plugin, replaced };
  }

  /** Returns the ids of the checks that fail for an adapter. */
  async function failedChecks(
    adapter: typeof nodeAdapter,
    provider: EndpointProvider,
    onTestFinished: OnTestFinished,
    checks: readonly Check[] = checksOf(provider).filter(isQuick),
  ): Promise<readonly string[]> {
    const webhook = adapter[`${provider}Webhook`](secrets);
    const handled: string[] = [];
    webhook.onAny(({ id }) => handled.push(id));
    const origin = await startServer(onTestFinished, (request, response) => {
      if (request.url === "/handled") response.end(JSON.stringify({ handled }));
      else void webhook(request, response);
    });
    const url = `${origin}/${provider}-webhook`;
    const { results } = await audit({
      url,
      provider,
      secrets,
      report: `${origin}/handled`,
      only: idsOf(checks),
      timeout: 30,
    });
    return idsWith("failed", { results });
  }

  test("passes without a mutation", LONG, async ({ onTestFinished }) => {
    const adapter = await buildAdapter("unchanged", { name: "none", setup() {} });
    for (const provider of PROVIDERS)
      expect(await failedChecks(adapter, provider, onTestFinished)).toEqual([]);
  });

  test("fails if the adapter verifies no signature", LONG, async ({ onTestFinished }) => {
    const { plugin, replaced } = replacing(
      /^#hmac$/,
      coreFile("hmac.node.ts"),
      `if (typeof real.verify !== "function") throw new Error("#hmac no longer exports verify.");
       export const verify = () => true;`,
    );
    const adapter = await buildAdapter("verify", plugin);
    expect(replaced).not.toEqual([]);
    const forged = ["signature-other-secret", "signature-no-secret", "signature-other-body"];
    const changed = ["time-changed", "body-rewritten", "body-mark-added"];
    const cut = ["signature-cut-at-end", "signature-cut-in-front"];
    const fails = {
      toloka: [...cut, ...forged, "signature-other-version", ...changed],
      // Prolific's parser refuses truncated signatures before `verify` runs.
      prolific: [...forged, ...changed],
    };
    for (const provider of PROVIDERS) {
      expect(await failedChecks(adapter, provider, onTestFinished)).toEqual(fails[provider]);
    }
  });

  test("fails if the adapter forgets handled events", LONG, async ({ onTestFinished }) => {
    const { plugin, replaced } = replacing(
      /\/recent-map\.js$/,
      coreFile("recent-map.ts"),
      `if (typeof real.RecentMap !== "function") throw new Error("core no longer exports RecentMap.");
       export class RecentMap { get() { return undefined; } set() {} }`,
    );
    const adapter = await buildAdapter("claims", plugin);
    expect(replaced).not.toEqual([]);
    const again = ["once-same-delivery", "once-signed-anew", "once-concurrent"];
    const fails = {
      toloka: [...again, "once-among-others", "end-nothing-twice"],
      prolific: [...again, "once-other-id", "end-nothing-twice"],
    };
    for (const provider of PROVIDERS) {
      expect(await failedChecks(adapter, provider, onTestFinished)).toEqual(fails[provider]);
    }
  });

  test("fails if the adapter does not limit the body", LONG, async ({ onTestFinished }) => {
    let times = 0;
    const plugin: Plugin = {
      name: "mutation",
      setup({ onLoad }) {
        onLoad({ filter: /core\/src\/.+\.ts$/ }, ({ path }) => ({
          contents: readFileSync(path, "utf8").replace(/\bmaxBodySize = [\d_ *]+/g, () => {
            times++;
            return "maxBodySize = Number.POSITIVE_INFINITY";
          }),
          loader: "ts",
        }));
      },
    };
    const adapter = await buildAdapter("limit", plugin);
    expect(times).toBe(1);
    for (const provider of PROVIDERS) {
      const fails = ["size-limit", "size-limit-chunked", "size-status"];
      expect(await failedChecks(adapter, provider, onTestFinished, checksOf(provider))).toEqual(fails);
    }
  });
});
