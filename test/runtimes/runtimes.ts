/** Adapters by package name. */
export const ADAPTERS = ["node", "express", "fastify", "koa", "fetch"] as const;
type Adapter = (typeof ADAPTERS)[number];

export interface Runtime {
  /** Name and version in test names and in the table. */
  readonly title: string;
  /** Package and exact version that npm installs. */
  readonly package: string;
  /** Matches the end of the executable's path in that package. */
  readonly executable: RegExp;
  /** File in `apps` for each adapter. An adapter without a file does not run on this runtime. */
  readonly apps: Readonly<Partial<Record<Adapter, string>>>;
  /** Returns the command that runs a file. Its working directory is the folder of the file. */
  command(executable: string, file: string): readonly string[];
  /** Whether apps load packages from `node_modules` rather than from a bundle. */
  readonly loadsPackages: boolean;
  /** The API that verifies signatures on this runtime. */
  readonly verifies: "node:crypto" | "WebCrypto";
  /** Names of the checks that do not hold on this runtime, each with the reason. */
  readonly lacks: Readonly<Record<string, string>>;
}

const ON_NODE_HTTP = { node: "node.js", express: "express.js", fastify: "fastify.js", koa: "koa.js" };
const ON_NODE = { loadsPackages: true, verifies: "node:crypto", lacks: {} } as const;

function node(version: string): Runtime {
  // npm has a package per platform that contains only the executable.
  const { platform, arch } = process;
  const prefix = platform === "darwin" && arch === "arm64" ? "node-bin" : "node";
  return {
    ...ON_NODE,
    title: `node ${version}`,
    package: `${prefix}-${platform === "win32" ? "win" : platform}-${arch}@${version}`,
    executable: /\/bin\/node(\.exe)?$/,
    apps: { ...ON_NODE_HTTP, fetch: "fetch-node.js" },
    command: (executable, file) => [executable, file],
  };
}

/** @param compatibilityDate Gives the Worker the defaults of that day. */
function workerd(version: string, compatibilityDate: string, lacks: Runtime["lacks"]): Runtime {
  return {
    title: `workerd ${version} as of ${compatibilityDate}`,
    package: `workerd@${version}`,
    executable: /\/@cloudflare\/workerd-[^/]+\/bin\/workerd(\.exe)?$/,
    apps: { fetch: `workerd-${compatibilityDate}.capnp` },
    command: (executable, file) => [executable, "serve", file, "--control-fd=1"],
    loadsPackages: false,
    verifies: "WebCrypto",
    lacks,
  };
}

const AFTER_CLOSE = "context.signal aborts when the sender closes the connection";
const AFTER_RESET = "context.signal aborts when the sender resets the connection";
const NO_SIGNAL = "The server of edge-runtime gives requests no signal that follows the connection";
const NO_FLAG = "Before 2026-11-17, requests have a signal only with the flag enable_request_signal";

/** The runtimes of the suite. `docs/reference/runtimes.md` has a row for each of them. */
export const RUNTIMES: readonly Runtime[] = [
  node("20.20.2"),
  node("22.23.3"),
  node("24.21.0"),
  {
    ...ON_NODE,
    title: "bun 1.4.5",
    package: "bun@1.4.5",
    executable: /\/@oven\/bun-[^/]+\/bin\/bun(\.exe)?$/,
    apps: { ...ON_NODE_HTTP, fetch: "fetch-bun.js" },
    command: (executable, file) => [executable, "run", "--no-install", file],
  },
  {
    ...ON_NODE,
    title: "deno 2.9.6",
    package: "deno@2.9.6",
    executable: /\/@deno\/[^/]+\/deno(\.exe)?$/,
    apps: { ...ON_NODE_HTTP, fetch: "fetch-deno.js" },
    command: (executable, file) => [
      executable,
      ...["run", "--node-modules-dir=manual", "--cached-only", "--allow-all", file],
    ],
  },
  workerd("1.20261117.1", "2026-11-17", {
    [AFTER_CLOSE]: "A sender that closes its half of the connection counts as one that still waits",
  }),
  // The oldest date on which a request can wait for a promise of another request, as duplicates do.
  workerd("1.20261117.1", "2024-10-14", { [AFTER_CLOSE]: NO_FLAG, [AFTER_RESET]: NO_FLAG }),
  {
    title: "edge-runtime 4.0.1",
    // Depends on exactly @edge-runtime/vm 5.0.0.
    package: "edge-runtime@4.0.1",
    executable: /\/edge-runtime\/dist\/cli\/index\.js$/,
    apps: { fetch: "edge.js" },
    command: (executable, file) => [process.execPath, executable, "--listen", "--port", "0", file],
    loadsPackages: false,
    verifies: "WebCrypto",
    lacks: { [AFTER_CLOSE]: NO_SIGNAL, [AFTER_RESET]: NO_SIGNAL },
  },
];
