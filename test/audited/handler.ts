import { spawn } from "node:child_process";
import { once } from "node:events";
import type http from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type AuditReport, audit, type CheckResult } from "@crowdhook/audit";
import type { Sender } from "@crowdhook/core/testing";
import { secretsOf } from "../defined-providers.js";
import { listen } from "../targets.js";
import type { Handle } from "./careful.js";

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
  /** Signs the deliveries of its provider. */
  readonly sender: Sender;
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
export async function audited({ sender, start }: Handler, only?: readonly string[]): Promise<AuditReport> {
  const [secret] = secretsOf(sender);
  const { url, report, close } = await start(secret);
  try {
    return await audit({ url, provider: sender, secrets: [secret], report, only, timeout: 30 });
  } finally {
    await close();
  }
}

/** Returns the ids of the MUST checks that failed. */
export function failedMusts({ results }: AuditReport): readonly string[] {
  return results.filter(({ level, status }) => level === "MUST" && status === "failed").map(({ id }) => id);
}

/** Returns the results that did not pass, except of checks that need more than the one secret of `audited`. */
export function openResults(report: AuditReport): readonly CheckResult[] {
  return report.results.filter(({ status, needs }) => status !== "passed" && needs !== "two secrets");
}

type Server = Pick<Endpoint, "close"> & { readonly origin: string };

/**
 * The time to handle one event. It lets the audit catch handlers that look an id up and store it later.
 * Shorter work does not overlap on a busy machine.
 */
const WORK_MS = 20;

/** Starts a handler and a report route beside it, so that no handler needs a route of its own. */
export async function reported(
  sender: Sender,
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
    url: server.origin + sender.provider.defaultPath,
    report: report.origin,
    async close() {
      await Promise.all([server.close(), report.close()]);
    },
  };
}

export type App = (secret: string, handle: Handle) => http.RequestListener;

export function onExpress(name: string, made: string, sender: Sender, app: App): Handler {
  const start = (secret: string) => reported(sender, (handle) => listen(app(secret, handle)));
  return { name, sender, made, start };
}

interface Program {
  readonly name: string;
  readonly sender: Sender;
  readonly made: string;
  readonly command: readonly string[];
  /** Relative to this file. */
  readonly file: string;
  readonly missing?: string | undefined;
  environment(secret: string): Record<string, string>;
  /** The path of its report route. */
  readonly report: string;
}

/** Returns a handler that runs as a process and has its own report route. */
export function program({ command, file, environment, report, ...handler }: Program): Handler {
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
      url: origin + handler.sender.provider.defaultPath,
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
