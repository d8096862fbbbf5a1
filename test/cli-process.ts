import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const BIN = join(import.meta.dirname, "../packages/cli/dist/index.js");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment without the variables that change what the command does. */
const CLEAN = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(TOLOKA|PROLIFIC)_|^(NO|FORCE)_COLOR$/.test(name)),
);

export class Running {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;

  constructor(readonly child: ChildProcessWithoutNullStreams) {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      this.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    // The output is complete only on "close".
    this.ended = once(child, "close").then(([code]) => {
      return { code, stdout: this.stdout, stderr: this.stderr };
    });
  }

  /** Resolves when the standard output matches. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match) return match;
      const isOver = await Promise.race([
        once(this.child.stdout, "data").then(() => false),
        this.ended.then(() => true),
      ]);
      if (isOver && !pattern.test(this.stdout)) {
        throw new Error(`The process ended without printing ${pattern}: ${this.stdout}${this.stderr}`);
      }
    }
  }

  interrupt(): Promise<Ended> {
    this.child.kill("SIGINT");
    return this.ended;
  }
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
}

export function start(command: string, args: readonly string[], options: RunOptions = {}): Running {
  const { env = {}, cwd, input = "" } = options;
  const child = spawn(command, args, { env: { ...CLEAN, ...env }, cwd });
  // The process may end without reading its input.
  child.stdin.on("error", () => {}).end(input);
  return new Running(child);
}
