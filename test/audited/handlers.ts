import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type http from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type AuditReport, audit } from "@crowdhook/audit";
import type { EndpointProvider } from "../plain-endpoint.js";
import { listen, TARGETS } from "../targets.js";
import { carefulProlific, carefulToloka, type Handle, remembering } from "./careful.js";
import { naiveProlific, naiveToloka } from "./naive.js";
import { octokitProlific, octokitToloka } from "./octokit.js";
import { standardWebhooksToloka } from "./standardwebhooks.js";

interface Endpoint {
  /** The URL for deliveries. */
  readonly url: string;
  /** The URL of the report route. */
  readonly report: string;
  close(): Promise<void>;
}

/** A handler to audit. */
export interface Handler {
  readonly name: string;
  readonly provider: EndpointProvider;
  /** Its parts, and which of them were adapted. */
  readonly made: string;
  /** Why it cannot run on this machine, and the fix. */
  readonly missing?: string | undefined;
  /** Starts the handler on a free port of the loopback interface. */
  start(secret: string): Promise<Endpoint>;
}

/**
 * Audits a handler with one secret and its report route.
 *
 * @param only The ids of the checks to run. Default: all.
 * @throws AuditError if the handler refuses a genuine delivery.
 */
export async function audited({ provider, start }: Handler, only?: readonly string[]): Promise<AuditReport> {
  const secret = "a-secret-for-audits";
  const { url, report, close } = await start(secret);
  try {
    return await audit({ url, provider, secrets: [secret], report, only });
  } finally {
    await close();
  }
}

type Server = Pick<Endpoint, "close"> & { readonly origin: string };

/** The time to handle one event. It lets the audit catch handlers that look an id up and store it later. */
const WORK_MS = 2;

/** Starts a handler and a report route beside it, so that no handler needs a route of its own. */
async function reported(
  provider: EndpointProvider,
  begin: (handle: Handle) => Promise<Server>,
): Promise<Endpoint> {
  const handled: string[] = [];
  const server = await begin(async (id) => {
    await pause(WORK_MS);
    // The audit does not look for events without an id.
    if (typeof id === "string") handled.push(id);
  });
  const report = await listen((_request, response) => {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ handled }));
  });
  return {
    url: `${server.origin}/${provider}-webhook`,
    report: report.origin,
    async close() {
      await Promise.all([server.close(), report.close()]);
    },
  };
}

type App = (secret: string, handle: Handle) => http.RequestListener;

function onExpress(name: string, made: string, provider: EndpointProvider, app: App): Handler {
  const start = (secret: string) => reported(provider, (handle) => listen(app(secret, handle)));
  return { name, provider, made, start };
}

interface Program {
  readonly name: string;
  readonly provider: EndpointProvider;
  readonly made: string;
  readonly command: readonly string[];
  /** Relative to this file. */
  readonly file: string;
  readonly missing?: string | undefined;
  environment(secret: string): Record<string, string>;
  /** The path of its report route. */
  readonly report: string;
}

/** A handler that runs as a process and has its own report route. */
function program({ command, file, environment, report, ...handler }: Program): Handler {
  const { provider } = handler;
  const [executable = "", ...args] = command;
  const start = async (secret: string) => {
    const child = spawn(executable, [...args, fileURLToPath(new URL(file, import.meta.url))], {
      env: { ...process.env, ...environment(secret), PORT: "0" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const origin = await new Promise<string>((resolve, reject) => {
      const lines = createInterface(child.stdout);
      lines.on("line", (line) => line.startsWith("Listening on ") && resolve(line.slice(13)));
      lines.on("close", () => reject(new Error(`${file} ended before it listened.`)));
    });
    return {
      url: `${origin}/${provider}-webhook`,
      report: origin + report,
      async close() {
        const exit = once(child, "exit");
        child.kill();
        await exit;
      },
    };
  };
  return { ...handler, start };
}

const python = spawnSync("python3", ["--version"], { encoding: "utf8" });
const pythonMissing =
  python.status === 0
    ? undefined
    : "SKIPPED: no python3 on the PATH. Run `apt-get install python3` to audit the handlers in Python.";

function documented(title: string, provider: EndpointProvider): Handler {
  return program({
    name: `as documented by ${title}`,
    provider,
    made: `the documentation's example in Python, rewritten, in a careful server; ${python.stdout?.trim()}`,
    command: ["python3"],
    file: "documented.py",
    missing: pythonMissing,
    environment: (secret) => ({ SECRET: secret }),
    report: "/handled",
  });
}

const example = {
  provider: "toloka",
  environment: (secret: string) => ({ TOLOKA_SECRET: secret, REPORT_TOKEN: "only-here" }),
  report: "/handled/only-here",
} as const;

const examplePython = program({
  ...example,
  name: "examples/audit/python.py",
  made: `by hand, by all rules of this audit; ${python.stdout?.trim()}`,
  command: ["python3"],
  file: "../../examples/audit/python.py",
  missing: pythonMissing,
});

/** The examples for users to copy. */
export const EXAMPLES: readonly Handler[] = [
  program({
    ...example,
    name: "examples/audit/express.ts",
    made: "@crowdhook/express",
    command: [process.execPath, "--import", "tsx"],
    file: "../../examples/audit/express.ts",
  }),
  examplePython,
];

function manifest(path: string) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
}
const { devDependencies } = manifest("../package.json");
const named = (peer: string) => `${peer} ${devDependencies[peer]}`;
const on = `on ${named("express")}`;

const OTHERS: Readonly<Record<EndpointProvider, readonly Handler[]>> = {
  toloka: others("toloka", naiveToloka, carefulToloka, [
    documented("Toloka", "toloka"),
    onExpress(
      "standardwebhooks",
      `${named("standardwebhooks")} ${on}, made for its own scheme: the library computes the HMAC, checks the time and parses JSON; header and comparison adapted`,
      "toloka",
      standardWebhooksToloka,
    ),
    octokit("toloka", octokitToloka),
    examplePython,
  ]),
  prolific: others("prolific", naiveProlific, carefulProlific, [
    documented("Prolific", "prolific"),
    octokit("prolific", octokitProlific),
  ]),
};

function others(
  provider: EndpointProvider,
  naive: App,
  careful: App,
  more: readonly Handler[],
): readonly Handler[] {
  return [
    onExpress(
      "parsed, then signed",
      `by hand ${on}, as in many tutorials: express.json(), JSON.stringify(req.body), ===`,
      provider,
      naive,
    ),
    onExpress(
      "by hand, with care",
      `by hand ${on}: express.raw() with room for 5 MiB, timingSafeEqual, JSON.parse after that`,
      provider,
      careful,
    ),
    onExpress("by hand, with a Set", "the same, with a Set of handled ids", provider, (secret, handle) =>
      careful(secret, remembering(handle)),
    ),
    ...more,
  ];
}

function octokit(provider: EndpointProvider, app: App): Handler {
  return onExpress(
    "@octokit/webhooks",
    `${named("@octokit/webhooks")} ${on}, made for GitHub's scheme: its verify gets the text that the provider signs; all else adapted`,
    provider,
    app,
  );
}

function ours(provider: EndpointProvider): readonly Handler[] {
  return TARGETS.filter(({ name }) => name !== "core").map((target) => ({
    name: `crowdhook, ${target.name}`,
    provider,
    made: `@crowdhook/${target.name} ${manifest(`../../packages/${target.name}/package.json`).version}, claims in memory`,
    start: (secret: string) =>
      reported(provider, async (handle) => {
        const { webhook, prolific, origin = "", close } = await target.start({ secret });
        (provider === "toloka" ? webhook : prolific).onAny(({ id }: { id: string }) => handle(id));
        return { origin, close };
      }),
  }));
}

export const HANDLERS: readonly Handler[] = (["toloka", "prolific"] as const).flatMap((provider) => [
  ...OTHERS[provider],
  ...ours(provider),
]);
