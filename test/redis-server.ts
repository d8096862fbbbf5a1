import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RedisServer {
  readonly url: string;
  /** Absent for a server that the tests did not start. */
  readonly control?: {
    readonly port: number;
    stop(): Promise<void>;
    start(): Promise<void>;
  };
  close(): Promise<void>;
}

const installed = () => spawnSync("redis-server", ["--version"]).status === 0;

/** Returns why tests that need Redis cannot run, and the fix. Returns `undefined` if they can. */
export function redisMissing(need: "any" | "own" = "any"): string | undefined {
  if ((need === "any" && process.env.REDIS_URL) || installed()) return undefined;
  return need === "any"
    ? "SKIPPED: no Redis found. Run `apt-get install redis-server`, or set REDIS_URL."
    : "SKIPPED: no redis-server on the PATH. Run `apt-get install redis-server`.";
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Returns the server at REDIS_URL, or starts one on a free port. With `"own"` it always starts one. */
export async function redisServer(need: "any" | "own" = "any", ...args: string[]): Promise<RedisServer> {
  if (need === "any" && process.env.REDIS_URL) return { url: process.env.REDIS_URL, async close() {} };
  const port = await freePort();
  // A replica writes the data that it copies into the folder in which it runs.
  const folder = mkdtempSync(join(tmpdir(), "crowdhook-redis-"));
  let server: ChildProcess;
  const start = async () => {
    const options = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", ...args];
    server = spawn("redis-server", options, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of server.stdout ?? [])
      if (String(line).includes("Ready to accept connections")) break;
  };
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill("SIGKILL");
    await once(server, "exit");
  };
  const close = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  };
  await start();
  return { url: `redis://127.0.0.1:${port}`, control: { port, stop, start }, close };
}
