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
  /** Where deliveries go. */
  readonly url: string;
  /** Where it tells what was handled. */
  readonly report: string;
  close(): Promise<void>;
}

/** A handler to be audited. */
export interface Handler {
  readonly name: string;
  readonly provider: EndpointProvider;
  /** What it is made of, and what of that was adapted. */
  readonly made: string;
  /** Why it cannot run here, and what would make it. */
  readonly missing?: string | undefined;
  /** Starts it on a free port of loopback. */
  start(secret: string): Promise<Endpoint>;
}

/**
 * What comes of auditing a handler, with one secret and its report route: by all checks, or by these.
 *
 * @throws AuditError if it does not even accept what is genuine.
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

/** How long an event takes to be handled: who looks first and notes afterwards needs time to be found out. */
const WORK_MS = 2;

/** Starts a handler, and a report route beside it, so that none has to make room for that. */
async function reported(
  provider: EndpointProvider,
  begin: (handle: Handle) => Promise<Server>,
): Promise<Endpoint> {
  const handled: string[] = [];
  const server = await begin(async (id) => {
    await pause(WORK_MS);
    // What has no id is not looked for.
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
  /** As a path from here. */
  readonly file: string;
  readonly missing?: string | undefined;
  environment(secret: string): Record<string, string>;
  /** The path of its report route. */
  readonly report: string;
}

/** A handler that is a process of its own, and has a report route itself. */
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
    : "SKIPPED: no python3 on the PATH. Run `apt-get install python3`, and what is in Python is audited.";

function documented(of: string, provider: EndpointProvider): Handler {
  return program({
    name: `as documented by ${of}`,
    provider,
    made: `the documentation's example in Python, written anew, and a careful server around it; ${python.stdout?.trim()}`,
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
  made: `by hand, with all that is known to this audit; ${python.stdout?.trim()}`,
  command: ["python3"],
  file: "../../examples/audit/python.py",
  missing: pythonMissing,
});

/** Those that are to be copied. */
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

/** By provider. */
const OTHERS: Readonly<Record<EndpointProvider, readonly Handler[]>> = {
  toloka: others("toloka", naiveToloka, carefulToloka, [
    documented("Toloka", "toloka"),
    onExpress(
      "standardwebhooks",
      `${named("standardwebhooks")} ${on}, made for a scheme of its own: HMAC, check of the time and reading of JSON are the library's, header and comparison adapted`,
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
    onExpress(
      "by hand, with a Set",
      "the same, and a Set of the ids that were handled",
      provider,
      (secret, handle) => careful(secret, remembering(handle)),
    ),
    ...more,
  ];
}

function octokit(provider: EndpointProvider, app: App): Handler {
  return onExpress(
    "@octokit/webhooks",
    `${named("@octokit/webhooks")} ${on}, made for GitHub's scheme: its verify is given what is signed here; all else adapted`,
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
