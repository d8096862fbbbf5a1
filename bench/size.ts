/** What a webhook adds to an app that bundles it, and what of that is whose. */
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { BuildOptions, Plugin } from "esbuild";
import { type Bundle, bundle, EDGE } from "./bundle.js";
import { record, versions } from "./results.js";
import { kilobytes } from "./units.js";

const NODE: BuildOptions = { platform: "node" };
const ADAPTERS: Readonly<Record<string, BuildOptions>> = {
  fetch: EDGE,
  node: NODE,
  express: { ...NODE, external: ["express"] },
  fastify: { ...NODE, external: ["fastify", "fastify-plugin"] },
  koa: { ...NODE, external: ["koa"] },
};
const PEERS: Readonly<Record<string, string>> = {
  "@octokit/webhooks": 'export { createNodeMiddleware, Webhooks } from "@octokit/webhooks";',
  stripe: 'export { default } from "stripe";',
  standardwebhooks: 'export { Webhook } from "standardwebhooks";',
  svix: 'export { Webhook } from "svix";',
};

const webhookOf = (adapter: string) => `export { tolokaWebhook } from "@crowdhook/${adapter}";`;

function gzip({ outputFiles }: Bundle): number {
  return gzipSync(outputFiles[0]?.contents ?? "").length;
}

function minified({ outputFiles }: Bundle): number {
  return outputFiles[0]?.contents.length ?? 0;
}

/** Our packages by their sources: in what they publish, others' code is part of ours. */
function sources(isEdge: boolean): Plugin {
  const packages = path.resolve("../packages");
  const kind = isEdge ? "web" : "node";
  return {
    name: "sources",
    setup(build) {
      build.onResolve({ filter: /^@crowdhook\// }, ({ path: name }) => {
        const [, folder = "", entry] = name.split("/");
        const provider = entry === "toloka" || entry === "prolific" ? `providers/${entry}/index` : entry;
        return { path: path.join(packages, folder, "src", `${provider ?? "index"}.ts`), sideEffects: false };
      });
      build.onResolve({ filter: /^#/ }, ({ path: name }) => ({
        path: path.join(
          packages,
          "core/src",
          `${name === "#hmac" ? "signature/hmac" : "observing/diagnostics"}.${kind}.ts`,
        ),
        sideEffects: false,
      }));
    },
  };
}

/** The packages in a bundle that are not ours. */
function others({ metafile }: Bundle): readonly string[] {
  const inputs = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs));
  const names = inputs
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .flatMap(([input]) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []);
  return [...new Set(names)].sort();
}

interface Shares {
  readonly minified: number;
  readonly whole: number;
  readonly own: number;
  /** By the names of others' packages, what is smaller without it. */
  readonly others: ReadonlyMap<string, number>;
}

async function sharesOf(adapter: string, options: BuildOptions): Promise<Shares> {
  const published = await bundle(webhookOf(adapter), options);
  const from = (external: readonly string[]) =>
    bundle(webhookOf(adapter), {
      ...options,
      plugins: [sources(options === EDGE)],
      external: [...(options.external ?? []), ...external],
    });
  const whole = await from([]);
  if (Math.abs(gzip(whole) / gzip(published) - 1) > 0.05) {
    throw new Error(`From sources: ${gzip(whole)} bytes, from what is published: ${gzip(published)}.`);
  }
  const names = others(whole);
  const without = new Map<string, number>();
  for (const name of names) without.set(name, gzip(whole) - gzip(await from([name])));
  return {
    minified: minified(published),
    whole: gzip(published),
    own: gzip(await from(names)),
    others: without,
  };
}

const shares = new Map<string, Shares>();
for (const [adapter, options] of Object.entries(ADAPTERS)) {
  shares.set(adapter, await sharesOf(adapter, options));
}
const names = [...new Set([...shares.values()].flatMap(({ others }) => [...others.keys()]))];
const peers = new Map<string, Bundle>();
for (const [peer, contents] of Object.entries(PEERS)) peers.set(peer, await bundle(contents, NODE));
const fetchShares = shares.get("fetch");

record("size", {
  title: "Size",
  method: `\
What an app bundles for Toloka's webhook, minified by ${versions("esbuild")} and compressed by gzip, its framework left out; the fetch adapter under the condition \`workerd\`, the others for Node. Our own code is the same bundle from this repository's sources with everything of others left out, and what of others is in it is what the bundle is smaller by without that package: compressed sizes do not quite add up. Of the peers, what is needed to verify, for Node.`,
  tables: [
    {
      caption: "crowdhook, by its adapters",
      head: ["adapter", "minified", "gzip", "our own code", ...names],
      rows: [...shares].map(([adapter, { minified, whole, own, others }]) => [
        adapter,
        kilobytes(minified),
        kilobytes(whole),
        kilobytes(own),
        ...names.map((name) => kilobytes(others.get(name) ?? 0)),
      ]),
    },
    {
      caption: "Peers",
      head: ["package", "minified", "gzip"],
      rows: [...peers].map(([peer, built]) => [
        versions(peer),
        kilobytes(minified(built)),
        kilobytes(gzip(built)),
      ]),
    },
  ],
  figures: {
    ...(fetchShares && { size: fetchShares.whole, "size-own": fetchShares.own }),
  },
});
