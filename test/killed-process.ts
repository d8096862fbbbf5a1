import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const PATIENCE_MS = 120_000;
const children = new Set<ChildProcess>();

/** A process that a test may kill at any moment. */
export interface KilledProcess {
  /** Resolves when the process has printed so many lines that fit. Rejects after `patience` milliseconds. */
  prints(fits: (line: string) => boolean, times?: number, patience?: number): Promise<void>;
  end(signal: NodeJS.Signals): Promise<void>;
  /** Resolves with the signal that ended the process; `null` if it has exited. */
  readonly ended: Promise<NodeJS.Signals | null>;
}

/** Starts a script of this folder. Its argument is the JSON of `options`. */
export function startProcess(script: string, options: object): KilledProcess {
  const child = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(options)], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", process.env.WORKER_LOG ? "inherit" : "ignore"],
  });
  children.add(child.once("exit", () => children.delete(child)));
  const ended = once(child, "exit").then(([, signal]) => signal as NodeJS.Signals | null);
  const waiting = new Set<(line: string) => void>();
  createInterface(child.stdout).on("line", (line) => {
    for (const take of waiting) take(line);
  });
  return {
    prints(fits, times = 1, patience = PATIENCE_MS) {
      let left = times;
      return new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error("The process does not go on.")), patience).unref();
        const take = (line: string) => {
          if (!fits(line) || --left > 0) return;
          clearTimeout(late);
          waiting.delete(take);
          resolve();
        };
        waiting.add(take);
      });
    },
    end: (signal) => end(child, signal),
    ended,
  };
}

/** For `afterEach`: a test that fails leaves its processes behind. */
export async function killAll(): Promise<void> {
  for (const child of children) await end(child, "SIGKILL");
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
}
