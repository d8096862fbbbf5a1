import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type http from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { listen, TARGETS } from "../targets.js";
import { carefulProlific, carefulToloka } from "./careful.js";
import { naiveProlific, naiveToloka } from "./naive.js";
import { octokitProlific, octokitToloka } from "./octokit.js";
import { standardWebhooksToloka } from "./standardwebhooks.js";

export type ProviderName = "toloka" | "prolific";

export interface Endpoint {
  /** Where deliveries go. */
  readonly url: string;
  /** Where it tells what was handled. */
  readonly report: string;
  close(): Promise<void>;
}

/** A handler that can be audited. */
export interface Handler {
  readonly name: string;
  readonly provider: ProviderName;
  /** What it is, in a few words: what is the library's and what was adapted. */
  readonly made: string;
  /** Why it cannot run here, and what would make it. */
  readonly missing?: string | undefined;
  /** Starts it on a free port of loopback. */
  start(secret: string): Promise<Endpoint>;
}

const manifest = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const peers: Record<string, string> = manifest("../package.json").devDependencies;
const named = (name: string) => `${name} ${peers[name]}`;

/** Starts a handler, and a report route beside it, so that none has to make room for that. */
async function reported(
  provider: ProviderName,
  begin: (handle: (id: unknown) => void) => Promise<Server>,
): Promise<Endpoint> {
  const handled: string[] = [];
  // What has no id cannot be told from others: it is not looked for.
  const server = await begin((id) => typeof id === "string" && handled.push(id));
  const report = await listen((_request, response) => {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ handled }));
  });
  return {
    url: `${server.origin}/${provider}-webhook`,
    report: `${report.origin}/handled`,
    async close() {
      await Promise.all([server.close(), report.close()]);
    },
  };
}

interface Server {
  readonly origin: string;
  close(): Promise<void>;
}

function onExpress(
  name: string,
  made: string,
  apps: Partial<
    Record<ProviderName, (secret: string, handle: (id: string) => unknown) => http.RequestListener>
  >,
): Handler[] {
  return Object.entries(apps).map(([key, app]) => {
    const provider = key as ProviderName;
    return {
      name,
      provider,
      made,
      start: (secret) => reported(provider, (handle) => listen(app(secret, handle))),
    };
  });
}

function inPython(name: string, made: string, provider: ProviderName): Handler {
  const found = spawnSync("python3", ["--version"], { encoding: "utf8" });
  return {
    name,
    provider,
    made: `${made}; ${found.stdout?.trim()}`,
    missing:
      found.status === 0
        ? undefined
        : "SKIPPED: no python3 on the PATH. Run `apt-get install python3`, and it is audited.",
    async start(secret) {
      const program = fileURLToPath(new URL("documented.py", import.meta.url));
      const child = spawn("python3", [program], {
        env: { ...process.env, SECRET: secret },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [line] = await once(createInterface(child.stdout), "line");
      const origin = String(line).replace("Listening on ", "");
      return {
        url: `${origin}/${provider}-webhook`,
        report: `${origin}/handled`,
        async close() {
          child.kill();
          await once(child, "exit");
        },
      };
    },
  };
}

const crowdhook: Handler[] = TARGETS.filter(({ name }) => name !== "core").flatMap((target) =>
  (["toloka", "prolific"] as const).map((provider) => ({
    name: `crowdhook, ${target.name}`,
    provider,
    made: `@crowdhook/${target.name} ${manifest(`../../packages/${target.name}/package.json`).version}`,
    start: (secret: string) =>
      reported(provider, async (handle) => {
        const running = await target.start({ secret });
        running.webhook.onAny(({ id }) => handle(id));
        running.prolific.onAny(({ id }) => handle(id));
        return running as Server;
      }),
  })),
);

export const HANDLERS: readonly Handler[] = [
  ...onExpress("parsed, then signed", `by hand, ${named("express")}; signs JSON.stringify(req.body)`, {
    toloka: naiveToloka,
    prolific: naiveProlific,
  }),
  ...onExpress(
    "by hand, with care",
    `by hand, ${named("express")}; raw bytes, timingSafeEqual; no claims, no check of the time`,
    { toloka: carefulToloka, prolific: carefulProlific },
  ),
  inPython("as documented by Toloka", "its documentation's steps in Python, with a server around", "toloka"),
  inPython(
    "as documented by Prolific",
    "its documentation's steps in Python, with a server around",
    "prolific",
  ),
  ...onExpress(
    "standardwebhooks",
    `${named("standardwebhooks")} on ${named("express")}; HMAC, time and JSON are its own, header and comparison adapted`,
    { toloka: standardWebhooksToloka },
  ),
  ...onExpress(
    "@octokit/webhooks",
    `${named("@octokit/webhooks")} on ${named("express")}; its verify, given what the provider signs`,
    { toloka: octokitToloka, prolific: octokitProlific },
  ),
  ...crowdhook,
];
