import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type http from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ProviderName } from "@crowdhook/audit";
import { listen, TARGETS } from "../targets.js";
import { carefulProlific, carefulToloka, type Handle, remembering } from "./careful.js";
import { naiveProlific, naiveToloka } from "./naive.js";
import { octokitProlific, octokitToloka } from "./octokit.js";
import { standardWebhooksToloka } from "./standardwebhooks.js";

export interface Endpoint {
  /** Where deliveries go. */
  readonly url: string;
  /** Where it tells what was handled. */
  readonly report: string;
  close(): Promise<void>;
}

/** A handler to be audited. */
export interface Handler {
  readonly name: string;
  readonly provider: ProviderName;
  /** What it is made of, and what of that was adapted. */
  readonly made: string;
  /** Why it cannot run here, and what would make it. */
  readonly missing?: string | undefined;
  /** Starts it on a free port of loopback. */
  start(secret: string): Promise<Endpoint>;
}

type Server = Pick<Endpoint, "close"> & { readonly origin: string };

/** How long an event takes to be handled: who looks first and notes afterwards needs time to be found out. */
const WORK_MS = 2;

/** Starts a handler, and a report route beside it, so that none has to make room for that. */
async function reported(
  provider: ProviderName,
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

function onExpress(name: string, made: string, provider: ProviderName, app: App): Handler {
  const start = (secret: string) => reported(provider, (handle) => listen(app(secret, handle)));
  return { name, provider, made, start };
}

const python = spawnSync("python3", ["--version"], { encoding: "utf8" });

function inPython(
  name: string,
  made: string,
  provider: ProviderName,
  program: string,
  environment: (secret: string) => Record<string, string>,
  report: string,
): Handler {
  const start = async (secret: string) => {
    const child = spawn("python3", [fileURLToPath(new URL(program, import.meta.url))], {
      env: { ...process.env, ...environment(secret), PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout);
    const [line] = await once(lines, "line");
    const origin = String(line).replace("Listening on ", "");
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
  const missing =
    python.status === 0
      ? undefined
      : "SKIPPED: no python3 on the PATH. Run `apt-get install python3`, and what is in Python is audited.";
  return { name, provider, made: `${made}; ${python.stdout?.trim()}`, missing, start };
}

function documented(of: string, provider: ProviderName): Handler {
  return inPython(
    `as documented by ${of}`,
    "the documentation's example in Python, written anew, and a careful server around it",
    provider,
    "documented.py",
    (secret) => ({ SECRET: secret }),
    "/handled",
  );
}

function manifest(path: string) {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
}
const { devDependencies } = manifest("../package.json");
const named = (peer: string) => `${peer} ${devDependencies[peer]}`;
const on = `on ${named("express")}`;

/** By provider. */
const OTHERS: Readonly<Record<ProviderName, readonly Handler[]>> = {
  toloka: others("toloka", naiveToloka, carefulToloka, [
    documented("Toloka", "toloka"),
    onExpress(
      "standardwebhooks",
      `${named("standardwebhooks")} ${on}, made for a scheme of its own: HMAC, check of the time and reading of JSON are the library's, header and comparison adapted`,
      "toloka",
      standardWebhooksToloka,
    ),
    octokit("toloka", octokitToloka),
    inPython(
      "examples/audit/python.py",
      "by hand, with all that is known to this audit",
      "toloka",
      "../../examples/audit/python.py",
      (secret) => ({ TOLOKA_SECRET: secret, REPORT_TOKEN: "only-here" }),
      "/handled/only-here",
    ),
  ]),
  prolific: others("prolific", naiveProlific, carefulProlific, [
    documented("Prolific", "prolific"),
    octokit("prolific", octokitProlific),
  ]),
};

function others(
  provider: ProviderName,
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

function octokit(provider: ProviderName, app: App): Handler {
  return onExpress(
    "@octokit/webhooks",
    `${named("@octokit/webhooks")} ${on}, made for GitHub's scheme: its verify is given what is signed here; all else adapted`,
    provider,
    app,
  );
}

function ours(provider: ProviderName): readonly Handler[] {
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
