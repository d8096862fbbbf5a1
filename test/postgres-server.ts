import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";
import { freePort } from "./redis-server.js";

export interface PostgresServer {
  readonly url: string;
  /** Absent for a server that the tests did not start. */
  readonly control?: {
    /** Kills the server with SIGKILL. */
    kill(): Promise<void>;
    start(): Promise<void>;
    /** Pauses all its processes with SIGSTOP. Resolves with a function that resumes them. */
    freeze(): Promise<() => void>;
  };
  close(): Promise<void>;
}

/** Runs statements on a connection of their own. Returns the rows of the last one. */
export async function queryPostgres(url: string, text: string, options: pg.ClientConfig = {}) {
  const client = new pg.Client({ connectionString: url, ...options });
  client.on("error", () => {});
  await client.connect();
  try {
    return [await client.query(text)].flat().at(-1)?.rows ?? [];
  } finally {
    await client.end();
  }
}

/** Returns the folder of the binaries: on the PATH, or where Debian installs them. */
function binaries(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian)
    ? readdirSync(debian).map((version) => join(debian, version, "bin"))
    : [];
  return [...(process.env.PATH ?? "").split(delimiter), ...versions].find(
    (directory) => existsSync(join(directory, "initdb")) && existsSync(join(directory, "postgres")),
  );
}

/** Returns why tests that need PostgreSQL cannot run, and the fix. Returns `undefined` if they can. */
export function postgresMissing(need: "any" | "own" = "any"): string | undefined {
  if ((need === "any" && process.env.DATABASE_URL) || binaries()) return undefined;
  return need === "any"
    ? "SKIPPED: no PostgreSQL found. Run `apt-get install postgresql`, or set DATABASE_URL."
    : "SKIPPED: no PostgreSQL on this machine. Run `apt-get install postgresql`.";
}

/** Returns the ids of `nobody` if this process is root: PostgreSQL refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = (option: string) => Number(spawnSync("id", [option, "nobody"]).stdout);
  return { uid: idOf("-u"), gid: idOf("-g") };
}

/** Returns the server at DATABASE_URL, or starts one on a free port. With `"own"` it always starts one. */
export async function postgresServer(need: "any" | "own" = "any"): Promise<PostgresServer> {
  if (need === "any" && process.env.DATABASE_URL) return { url: process.env.DATABASE_URL, async close() {} };
  const bin = binaries() ?? "";
  const user = unprivileged();
  const directory = await mkdtemp(join(tmpdir(), "crowdhook-pg-"));
  if (user) chownSync(directory, user.uid, user.gid);
  const data = join(directory, "data");
  const made = spawnSync(join(bin, "initdb"), ["-D", data, "-U", "crowdhook", "-A", "trust", "-E", "UTF8"], {
    ...user,
    cwd: directory,
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const url = `postgres://crowdhook@127.0.0.1:${port}/postgres`;

  const query = (text: string) => queryPostgres(url, text, { connectionTimeoutMillis: 1_000 });
  let server: ChildProcess;
  const start = async () => {
    const options = ["-D", data, "-p", `${port}`, "-h", "127.0.0.1", "-k", directory];
    server = spawn(join(bin, "postgres"), options, { ...user, cwd: directory, stdio: "ignore" });
    for (let tries = 0; ; tries++) {
      try {
        await query("SELECT");
        return;
      } catch (error) {
        if (tries === 100 || server.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  };
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exit = once(server, "exit");
    // The child processes end when they notice that their parent is gone.
    server.kill("SIGKILL");
    await exit;
  };
  const freeze = async () => {
    const pids = [server.pid, ...(await query("SELECT pid FROM pg_stat_activity")).map(({ pid }) => pid)];
    const signal = (name: NodeJS.Signals) => {
      for (const pid of pids) {
        try {
          process.kill(pid, name);
        } catch {
          // The process that served the query has ended since.
        }
      }
    };
    signal("SIGSTOP");
    return () => signal("SIGCONT");
  };
  await start();
  return {
    url,
    control: { kill, start, freeze },
    async close() {
      await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
