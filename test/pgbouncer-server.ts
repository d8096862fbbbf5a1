import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";
import { freePort } from "./redis-server.js";

/** Returns the path of the program: on the PATH, or where Debian installs it. */
function binary(): string | undefined {
  return [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]
    .map((directory) => join(directory, "pgbouncer"))
    .find((path) => existsSync(path));
}

/** Returns why tests that need PgBouncer cannot run, and the fix. Returns `undefined` if they can. */
export function pgbouncerMissing(): string | undefined {
  return binary() ? undefined : "SKIPPED: no PgBouncer found. Run `apt-get install pgbouncer`.";
}

/** Starts PgBouncer in transaction mode, with one server connection that all its clients share. */
export async function pgbouncer(server: string): Promise<{ url: string; close(): Promise<void> }> {
  const { hostname, port: serverPort, username } = new URL(server);
  const directory = mkdtempSync(join(tmpdir(), "crowdhook-pgbouncer-"));
  chmodSync(directory, 0o755);
  const port = await freePort();
  const file = join(directory, "pgbouncer.ini");
  writeFileSync(join(directory, "users"), `"${username}" ""\n`);
  writeFileSync(
    file,
    `[databases]
postgres = host=${hostname} port=${serverPort} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(directory, "users")}
pool_mode = transaction
default_pool_size = 1
`,
  );
  // PgBouncer refuses to run as root.
  const isRoot = process.getuid?.() === 0;
  const idOf = (option: string) => Number(spawnSync("id", [option, "nobody"]).stdout);
  const user = isRoot ? { uid: idOf("-u"), gid: idOf("-g") } : {};
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid);
  const child: ChildProcess = spawn(binary() ?? "", ["-q", file], { ...user, stdio: "ignore" });
  const url = `postgres://${username}@127.0.0.1:${port}/postgres`;
  for (let tries = 0; ; tries++) {
    const client = new pg.Client(url);
    try {
      await client.connect();
      await client.end();
      break;
    } catch (error) {
      if (tries === 100 || child.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  return {
    url,
    async close() {
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
