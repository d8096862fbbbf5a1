import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";

/** A process in the same container needs no longer than this to take over. */
const AT_ONCE_MS = 5_000;
/** In another container, it first waits ten seconds for a sign of life. The rest is for a busy machine. */
const BOUNDED_MS = 20_000;

const unshare = (...options: string[]) => ["unshare", ...options, "--"];
const can = (wrapper: string[]) => spawnSync(wrapper[0] ?? "", [...wrapper.slice(1), "true"]).status === 0;
const NETWORK = unshare("--net");
const PIDS = unshare("--pid", "--fork", "--kill-child", "--mount-proc");
const noNamespaces =
  can(NETWORK) && can(PIDS) ? undefined : "SKIPPED: this test needs root, for namespaces as containers have.";
if (noNamespaces) console.warn(noNamespaces);

const NOBODY = ["setpriv", "--reuid", "65534", "--clear-groups", "--"];
const noUser = can(NOBODY) ? undefined : "SKIPPED: this test needs root, to become another user.";
if (noUser) console.warn(noUser);

let folder: string;
const children = new Set<ChildProcess>();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "crowdhook-lock-"));
});
afterEach(async () => {
  for (const child of children) await kill(child);
  rmSync(folder, { recursive: true, force: true });
});

interface Holder {
  readonly child: ChildProcess;
  /** The first line that the process printed. */
  readonly first: string;
  /** Sends a line and resolves with the next line that the process prints. */
  ask(line?: string): Promise<string>;
}

/** Starts a process that locks the folder. */
async function hold(path: string, wrapper: readonly string[] = []): Promise<Holder> {
  const [command = "", ...rest] = [
    ...wrapper,
    process.execPath,
    "--import",
    "tsx",
    "folder-lock-holder.ts",
    path,
  ];
  const child = spawn(command, rest, { cwd: import.meta.dirname, stdio: ["pipe", "pipe", "inherit"] });
  children.add(child.once("exit", () => children.delete(child)));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => String((await lines.next()).value);
  return {
    child,
    first: await next(),
    ask(line = "check") {
      child.stdin.write(`${line}\n`);
      return next();
    },
  };
}

async function kill(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGCONT");
  child.kill(signal);
  await exit;
}

const IN_USE = /^Another process uses .*Only one process can use a dataDir/;

test("a second process is refused, also by another path to the folder", async () => {
  const { first } = await hold(folder);
  expect(first).toBe("held");
  const link = `${folder}-link`;
  symlinkSync(folder, link);
  for (const path of [folder, `${folder}/.`, link]) expect((await hold(path)).first).toMatch(IN_USE);
  rmSync(link);
}, 60_000);

test.skipIf(noNamespaces).each([
  { where: "network namespace", wrapper: NETWORK },
  { where: "PID namespace", wrapper: PIDS },
])(
  `${noNamespaces ?? ""} a process in another $where is refused, as in another container`,
  async ({ wrapper }) => {
    expect((await hold(folder)).first).toBe("held");
    expect((await hold(folder, wrapper)).first).toMatch(IN_USE);
  },
  60_000,
);

test("after SIGKILL the next process takes over at once, and only one of two", async () => {
  const { child } = await hold(folder);
  await kill(child);
  const begun = performance.now();
  const two = await Promise.all([hold(folder), hold(folder)]);
  expect(performance.now() - begun).toBeLessThan(AT_ONCE_MS * 2);
  const [winner, loser] = two.map(({ first }) => first).sort((a) => (a === "held" ? -1 : 1));
  expect(winner).toBe("held");
  expect(loser).toMatch(IN_USE);
}, 60_000);

test.each(["", "null", "a former format"])(
  "a lock file that holds %j and has no heartbeat is taken over",
  async (content) => {
    writeFileSync(join(folder, "crowdhook.lock.1"), content);
    expect((await hold(folder)).first).toBe("held");
  },
  60_000,
);

test.skipIf(noUser)(
  `${noUser ?? ""} a process that may not write to the folder is told so`,
  async () => {
    chmodSync(folder, 0o555);
    expect((await hold(folder, NOBODY)).first).toBe(
      `This process may not write to ${folder}, the dataDir. Give it the right to.`,
    );
  },
  60_000,
);

test("a released folder is free at once", async () => {
  const former = await hold(folder);
  await former.ask("release");
  expect((await hold(folder)).first).toBe("held");
}, 60_000);

test.skipIf(noNamespaces)(
  `${noNamespaces ?? ""} after SIGKILL a process in another PID namespace takes over within seconds`,
  async () => {
    const { child } = await hold(folder);
    await kill(child);
    const begun = performance.now();
    expect((await hold(folder, PIDS)).first).toBe("held");
    expect(performance.now() - begun).toBeLessThan(BOUNDED_MS);
  },
  60_000,
);

test("an owner that was paused for longer than the lock holds notices the takeover before it writes", async () => {
  const paused = await hold(folder);
  paused.child.kill("SIGSTOP");
  const next = await hold(folder);
  expect(next.first).toBe("held");
  paused.child.kill("SIGCONT");
  expect(await paused.ask()).toMatch(/^Another process has taken over .*Restart this process/);
  expect(await next.ask()).toBe("held");
}, 60_000);
