import { randomUUID } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { SetupError } from "./database.js";

/** The right to use a folder. Only one process holds it. */
export interface FolderLock {
  isHeld(): boolean;
  /** @throws SetupError if another process has taken over the folder while this one stood still. */
  requireHeld(): void;
  release(): Promise<void>;
}

/** How often the owner renews the lock. */
const BEAT_MS = 1_000;
/** An owner that has not renewed the lock for so long is gone. */
const STALE_MS = 10_000;
const LOOK_MS = 100;
const PREFIX = "crowdhook.lock.";
/** The content of a lock whose owner has released it. */
const RELEASED = "released";

/**
 * Renews the lock in a thread of its own, because listeners and PGlite can block the main thread for
 * longer than `STALE_MS`.
 */
const HEARTBEAT = `
  const { utimesSync } = require("node:fs");
  const { path, every } = require("node:worker_threads").workerData;
  setInterval(() => {
    try {
      const now = new Date();
      utimesSync(path, now, now);
    } catch {
      process.exit();
    }
  }, every);`;

/**
 * Reserves a folder for this process. The lock is a file in the folder, so that containers and mounts
 * that share the folder share the lock. Needs a local file system: NFS and other network file systems
 * may show a file late.
 *
 * Each owner creates the file with the next number, which only one process can. The owner is the process
 * that created the highest number. The files of former owners are deleted by the next one only, so no
 * number is used twice while a process may still look at it.
 *
 * @throws SetupError if another process uses the folder, or this one may not write to it.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = (number: number) => join(folder, PREFIX + number);
  for (;;) {
    const last = highest(folder);
    if (last > 0 && !(await isFree(path(last)))) throw new SetupError(inUse(folder));
    const number = last + 1;
    if (!create(path(number))) continue;
    // A slow process may have created the number of a former owner again.
    if (highest(folder) > number) {
      rmSync(path(number), { force: true });
      continue;
    }
    for (const former of numbers(folder)) if (former < number) rmSync(path(former), { force: true });
    return holdLock(folder, path(number), path(number + 1));
  }
}

function holdLock(folder: string, own: string, next: string): FolderLock {
  const heartbeat = new Worker(HEARTBEAT, {
    eval: true,
    // The process may have options, such as a loader, that do not fit this script.
    execArgv: [],
    workerData: { path: own, every: BEAT_MS },
  });
  // Without its heartbeat this process loses the lock, and `requireHeld` says so.
  heartbeat.on("error", () => {});
  heartbeat.unref();
  // A process that was paused for longer than `STALE_MS` has lost the lock.
  const isHeld = () => !existsSync(next) && existsSync(own);
  return {
    isHeld,
    requireHeld() {
      if (!isHeld()) {
        throw new SetupError(
          `Another process has taken over ${folder}, because this one stood still for more than ${STALE_MS / 1000} seconds. Restart this process.`,
        );
      }
    },
    async release() {
      await heartbeat.terminate();
      if (existsSync(own)) writeFileSync(own, RELEASED);
    },
  };
}

function numbers(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => Number(name.slice(PREFIX.length)))
    .filter(Number.isSafeInteger);
}

function highest(folder: string): number {
  return Math.max(0, ...numbers(folder));
}

/** Creates the lock file. Returns `false` if another process was faster. */
function create(path: string): boolean {
  const { pid } = process;
  const owner: Owner = { token: randomUUID(), pid, space: processSpace(), started: startOf(pid) };
  try {
    writeFileSync(path, JSON.stringify(owner), { flag: "wx" });
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (!["EACCES", "EPERM", "EROFS"].includes(code)) throw error;
    throw new SetupError(
      `This process may not write to ${dirname(path)}, the dataDir. Give it the right to.`,
    );
  }
}

interface Owner {
  readonly token: string;
  readonly pid: number;
  /** Identifies the space in which `pid` is unique: a boot of the machine and a PID namespace. */
  readonly space: string;
  /** When the process started. A later process can get the same `pid`. */
  readonly started: string | undefined;
}

/** Waits until the owner is known to be alive or gone. */
async function isFree(path: string): Promise<boolean> {
  const first = beatOf(path);
  const begun = performance.now();
  // The age of the file proves nothing: the machine may have been suspended since.
  while (performance.now() - begun < STALE_MS) {
    const content = contentOf(path);
    if (content === undefined || content === RELEASED) return true;
    if (isGone(content)) return true;
    if (beatOf(path) !== first) return false;
    await delay(LOOK_MS);
  }
  return true;
}

/** Returns whether the owner is known to be dead. `false` if it runs in another container or machine. */
function isGone(content: string): boolean {
  let owner: Owner | null;
  try {
    owner = JSON.parse(content);
  } catch {
    // Its owner has just created the file, or the machine has lost power.
    return false;
  }
  if (owner?.space !== processSpace()) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  const started = startOf(owner.pid);
  return started !== undefined && owner.started !== undefined && started !== owner.started;
}

function beatOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function processSpace(): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    // On Linux, two containers without /proc can have the same name. Then only the heartbeat counts.
    return process.platform === "linux" ? randomUUID() : `${process.platform} ${hostname()}`;
  }
}

/** Returns the start of a process in ticks since the boot. Linux only. Source: proc(5), field 22 of stat. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the command in brackets, which can hold spaces.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function inUse(folder: string): string {
  return `Another process uses ${folder}. Only one process can use a dataDir. Receive and work in that process, or pass a connection to PostgreSQL.`;
}
