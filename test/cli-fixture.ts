import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prolific } from "@crowdhook/core/prolific";
import { toloka } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { afterAll, afterEach, beforeEach, expect } from "vitest";
import { BIN, type Ended, type Running, type RunOptions, start } from "./cli-process.js";

export const TOLOKA_SECRET = "toloka-s3cret";
export const PROLIFIC_SECRET = "prolific-s3cret";
export const API_KEY = "api-k3y";
export const SECRETS = { TOLOKA_SECRET, PROLIFIC_SECRET };
export const TYPES = [...toloka.eventTypes, ...prolific.eventTypes];

/**
 * Runs the command in a folder per test, and ends what a test started. Every test also checks that
 * no output contains a secret.
 */
export function useCli() {
  const root = mkdtempSync(join(tmpdir(), "crowdhook-cli-"));
  let folder = root;
  const processes: Running[] = [];
  const servers: http.Server[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(root, "test-"));
  });
  afterAll(() => rmSync(root, { recursive: true }));
  afterEach(async () => {
    const outputs: string[] = [];
    for (const process of processes.splice(0)) {
      process.child.kill("SIGKILL");
      await process.ended;
      outputs.push(process.stdout, process.stderr);
    }
    for (const server of servers.splice(0)) await closeServer(server);
    const printed = outputs.join("\n");
    for (const secret of [TOLOKA_SECRET, PROLIFIC_SECRET, API_KEY]) expect(printed).not.toContain(secret);
  });

  function track(process: Running): Running {
    processes.push(process);
    return process;
  }

  function cli(args: readonly string[], options: RunOptions = {}): Running {
    return track(start(process.execPath, [BIN, ...args], { cwd: folder, env: SECRETS, ...options }));
  }

  async function serve(handler: http.RequestListener): Promise<string> {
    const server = http.createServer(handler).listen(0, "127.0.0.1");
    servers.push(server);
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  return {
    track,
    serve,
    /** Returns a path in the folder of the test. */
    path: (name = "") => join(folder, name),
    run: (args: readonly string[], options?: RunOptions): Promise<Ended> => cli(args, options).ended,
    async listening(args: readonly string[] = [], options?: RunOptions) {
      const process = cli(["listen", "--port", "0", ...args], options);
      const [, url = ""] = await process.printed(/(http:\/\/[\d.]+:\d+)/);
      return { process, url };
    },
    /** Returns a URL where nothing listens. */
    async unused(): Promise<string> {
      const url = await serve(() => {});
      await closeServer(servers.pop() as http.Server);
      return url;
    },
  };
}

async function closeServer(server: http.Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** Returns an app with the webhooks of both providers. Their listeners take every event. */
export function webhookApp(
  tolokaSecret: string,
  options: { clock?: () => number } = {},
): http.RequestListener {
  const toloka = tolokaWebhook(tolokaSecret, options);
  const prolific = prolificWebhook(PROLIFIC_SECRET, options);
  for (const webhook of [toloka, prolific]) webhook.onAny(() => {});
  return (request, response) => {
    void (request.url === "/prolific-webhook" ? prolific : toloka)(request, response);
  };
}

export const jsonOf = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout);
export const linesOf = ({ stdout }: { readonly stdout: string }) =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

export function post(
  url: string,
  { headers, body }: { headers: Readonly<Record<string, string>>; body: string | Uint8Array },
) {
  return fetch(url, { method: "POST", headers, body: Buffer.from(body) });
}

interface Vector {
  readonly name: string;
  readonly secret: string;
  readonly body: string;
  readonly header: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function vector(provider: string, name: string): Vector {
  const file = new URL(`vectors/${provider}.json`, import.meta.url);
  const { valid }: { valid: Vector[] } = JSON.parse(readFileSync(file, "utf8"));
  const found = valid.find((vector) => vector.name === name);
  if (!found) throw new Error(`There is no vector ${name}.`);
  return found;
}
