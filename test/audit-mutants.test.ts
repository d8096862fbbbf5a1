import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { audit, type Check } from "@crowdhook/audit";
import type { Provider } from "@crowdhook/core";
import { SENDERS } from "@crowdhook/core/testing";
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
  startServer,
} from "./audit-runs.js";
import { SECRETS } from "./plain-endpoint.js";

type ProviderName = "toloka" | "prolific" | "cvat" | "standard-webhooks";
/** What a build exports: the adapter, and the providers that it was built with. */
type Built = Pick<typeof nodeAdapter, "webhook"> & { readonly providers: readonly Provider[] };

/** Secrets of providers that ask for a form. */
const SECRETS_OF: Readonly<Partial<Record<ProviderName, [string, string]>>> = {
  "standard-webhooks": ["whsec_czNjcmV0LW9uZSE=", "whsec_czNjcmV0LXR3byE="],
};

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
    const found = readdirSync(core, { recursive: true, encoding: "utf8" }).find((file) =>
      `/${file}`.endsWith(`/${name}`),
    );
    if (found === undefined) throw new Error(`core has no file ${name}.`);
    return core + found;
  }

  /** Builds the adapter for node:http, and all providers, from their sources, with a mutation. */
  async function buildAdapter(name: string, mutation: Plugin): Promise<Built> {
    const outfile = join(folder, `${name}.mjs`);
    const fromSource: Plugin = {
      name: "from source",
      setup({ onResolve }) {
        onResolve({ filter: /^#(hmac|diagnostics)$/ }, ({ path }) => ({
          path: coreFile(`${path.slice(1)}.node.ts`),
        }));
        onResolve({ filter: /^@crowdhook\/core/ }, ({ path }) => {
          const [, , entry = "index"] = path.split("/");
          const isProvider = SENDERS.some(({ provider }) => provider.name === entry);
          return { path: `${core}${isProvider ? `providers/${entry}/index` : entry}.ts` };
        });
      },
    };
    await build({
      stdin: {
        contents: `export { webhook } from ${JSON.stringify(`${packages}node/src/index.ts`)};
          import { cvat } from "@crowdhook/core/cvat";
          import { prolific } from "@crowdhook/core/prolific";
          import { ARGILLA_EVENTS, standardWebhooks } from "@crowdhook/core/standard-webhooks";
          import { toloka } from "@crowdhook/core/toloka";
          export const providers = [cvat, prolific, standardWebhooks(ARGILLA_EVENTS), toloka];`,
        resolveDir: core,
      },
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

  /** Replaces a text that core has once. */
  function replacingText(name: string, text: string, replacement: string): Plugin {
    const file = coreFile(name);
    return {
      name: "mutation",
      setup({ onLoad }) {
        onLoad({ filter: /core\/src\/.+\.ts$/ }, ({ path }) => {
          if (path !== file) return undefined;
          const parts = readFileSync(path, "utf8").split(text);
          if (parts.length !== 2) throw new Error(`${name} has ${parts.length - 1} times ${text}.`);
          return { contents: parts.join(replacement), loader: "ts" };
        });
      },
    };
  }

  /** Returns the ids of the checks that fail for an adapter. */
  async function failedChecks(
    { webhook, providers }: Built,
    name: ProviderName,
    onTestFinished: OnTestFinished,
    checks: readonly Check[] = checksOf(name).filter(isQuick),
  ): Promise<readonly string[]> {
    const provider = providers.find((each) => each.name === name) as Provider;
    const secrets = SECRETS_OF[name] ?? [...SECRETS];
    const receiver = webhook(provider, secrets);
    const handled: string[] = [];
    receiver.onAny(({ id }) => handled.push(id));
    const origin = await startServer(onTestFinished, (request, response) => {
      if (request.url === "/handled") response.end(JSON.stringify({ handled }));
      else void receiver(request, response);
    });
    const { results } = await audit({
      url: origin + provider.defaultPath,
      provider: name,
      secrets,
      report: `${origin}/handled`,
      only: idsOf(checks),
      timeout: 30,
    });
    return idsWith("failed", { results });
  }

  /** Expects that these checks fail for each provider, and no others. */
  async function expectFailed(
    adapter: Built,
    fails: Readonly<Partial<Record<ProviderName, readonly string[]>>>,
    onTestFinished: OnTestFinished,
  ): Promise<void> {
    const names = Object.keys(fails) as ProviderName[];
    const seen = await Promise.all(
      names.map(async (name) => [name, await failedChecks(adapter, name, onTestFinished)]),
    );
    expect(Object.fromEntries(seen)).toEqual(fails);
  }

  test("passes without a mutation", LONG, async ({ onTestFinished }) => {
    const adapter = await buildAdapter("unchanged", { name: "none", setup() {} });
    await expectFailed(
      adapter,
      { toloka: [], prolific: [], cvat: [], "standard-webhooks": [] },
      onTestFinished,
    );
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
      prolific: [...cut, ...forged, ...changed],
      cvat: [...cut, ...forged, "body-rewritten", "body-mark-added"],
      "standard-webhooks": [...cut, ...forged, "signature-all-wrong", "signature-id-changed", ...changed],
    };
    await expectFailed(adapter, fails, onTestFinished);
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
      cvat: [
        "once-same-delivery",
        "once-concurrent",
        "once-each-body",
        "once-after-others",
        "once-respelled",
        "end-nothing-twice",
      ],
      "standard-webhooks": [...again, "end-nothing-twice"],
    };
    await expectFailed(adapter, fails, onTestFinished);
  });

  const mutants: readonly [
    name: string,
    mutation: Plugin,
    fails: Readonly<Partial<Record<ProviderName, readonly string[]>>>,
  ][] = [
    [
      "compares only the first digits of a signature",
      replacingText(
        "hmac.node.ts",
        "timingSafeEqual(expected, received)",
        "expected.compare(received, 0, 16, 0, 16) === 0",
      ),
      {
        toloka: ["signature-cut-at-end"],
        prolific: ["signature-cut-at-end"],
        cvat: ["signature-cut-at-end"],
        "standard-webhooks": ["signature-cut-at-end"],
      },
    ],
    [
      "accepts a signature of any age",
      replacingText("verify.ts", "Math.abs(now - timestamp) <= tolerance * 1000", "now === now"),
      {
        toloka: ["time-old", "time-ahead", "time-unit"],
        prolific: ["time-old", "time-ahead"],
        "standard-webhooks": ["time-old", "time-ahead"],
      },
    ],
    [
      "reads only the first of several signatures",
      replacingText("defining/signature.ts", "digests.push(digest)", "digests[0] ??= digest"),
      { "standard-webhooks": ["signature-one-of-several"] },
    ],
    [
      "remembers only a few events",
      replacingText("receiver-memory.ts", "const REMEMBERED = 50_000", "const REMEMBERED = 10"),
      { cvat: ["once-after-others", "end-nothing-twice"] },
    ],
  ];
  test.for(mutants)("fails if the adapter %s", LONG, async ([name, mutation, fails], { onTestFinished }) => {
    await expectFailed(await buildAdapter(name.replaceAll(" ", "-"), mutation), fails, onTestFinished);
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
