/** The processes that a part starts, in which it measures. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import os from "node:os";
import path from "node:path";

/** Whether a process can be given a core. */
export const pins = os.cpus().length > 1 && spawnSync("taskset", ["-c", "0,1", "true"]).status === 0;

/**
 * Starts a file of this folder, on one core if its number is given and can be. If it fails, so does
 * this process.
 */
export function start(name: string, args: readonly string[], core?: number): ChildProcess {
  const command = [process.execPath, path.join(import.meta.dirname, `${name}.js`), ...args];
  const pinned = pins && core !== undefined ? ["taskset", "-c", String(core), ...command] : command;
  const [file = "", ...rest] = pinned;
  const child = spawn(file, rest, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  child.on("exit", (code) => {
    if (!code) return;
    console.error(`${name} ${args.join(" ")} ended with ${code}.`);
    process.exit(1);
  });
  return child;
}

/** The next message of a process. */
export async function message<Message>(child: ChildProcess): Promise<Message> {
  const [message] = await once(child, "message");
  return message;
}

/** Sends a message, and waits for what it is answered with. */
export function ask<Answer>(child: ChildProcess, question: object): Promise<Answer> {
  const answer = message<Answer>(child);
  child.send(question);
  return answer;
}
