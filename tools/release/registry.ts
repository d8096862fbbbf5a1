import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface Registry {
  readonly url: string;
  close(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Everybody may publish our packages. The registry that npm is set to has all others. */
function configOf(upstream: string): string {
  return JSON.stringify({
    storage: "./storage",
    uplinks: { upstream: { url: upstream, maxage: "1d", timeout: "60s" } },
    packages: {
      "@crowdhook/*": { access: "$all", publish: "$all" },
      crowdhook: { access: "$all", publish: "$all" },
      "**": { access: "$all", proxy: "upstream" },
    },
    log: { type: "stdout", format: "pretty", level: "warn" },
  });
}

/** Installs verdaccio into a folder and starts it there. */
export async function startRegistry(folder: string): Promise<Registry> {
  mkdirSync(folder, { recursive: true });
  const npm = (...args: string[]) => execFileSync("npm", args, { cwd: folder, encoding: "utf8" });
  // It asks for node-fetch by a tag, which not every registry has.
  const overrides = { "node-fetch": "2.7.0" };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, overrides }));
  npm("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "verdaccio@6");
  writeFileSync(join(folder, "config.yaml"), configOf(npm("config", "get", "registry").trim()));
  const url = `http://127.0.0.1:${await freePort()}`;
  const bin = join(folder, "node_modules/verdaccio/bin/verdaccio");
  const child: ChildProcess = spawn(process.execPath, [bin, "--config", "config.yaml", "--listen", url], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  await Promise.race([listening(child), exited.then(([code]) => fail(`verdaccio ended with ${code}.`))]);
  return {
    url,
    async close() {
      child.kill();
      await exited;
    },
  };
}

async function listening({ stdout }: ChildProcess): Promise<void> {
  if (!stdout) return;
  // Not a loop over the lines, whose end would close the stream that verdaccio still writes to.
  await new Promise<void>((resolve) => {
    createInterface(stdout).on("line", (line) => {
      if (/http address/.test(line)) resolve();
    });
  });
}

function fail(message: string): never {
  throw new Error(message);
}
