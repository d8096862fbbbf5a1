import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { tolokaEvent } from "@crowdhook/core/testing";
import { afterAll, beforeAll } from "vitest";
import { SECRET } from "./post.js";
import { type RedisServer, redisServer } from "./redis-server.js";
import type { Note, WorkerOptions } from "./redis-worker.js";

export interface Worker {
  readonly process: ChildProcess;
  readonly origin: string;
}

export async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

/** The journal of a test, in which all processes record what they do. */
class Journal {
  constructor(readonly file: string) {}
  read(): [Note, string][] {
    return readFileSync(this.file, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(" ") as [Note, string]);
  }
  /** Counts the notes of each event or request. */
  count(wanted: Note): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [note, of] of this.read()) if (note === wanted) counts.set(of, (counts.get(of) ?? 0) + 1);
    return counts;
  }
  /** Returns the events whose listener started after Redis had confirmed that they are done. */
  begunAfterSettled(): string[] {
    const settled = new Set<string>();
    const begun: string[] = [];
    for (const [note, of] of this.read()) {
      if (note === "settled") settled.add(of);
      if (note === "begun" && settled.has(of)) begun.push(of);
    }
    return begun;
  }
}

export class Tally {
  readonly #counts = new Map<string, number>();
  add(name: string | number): void {
    this.#counts.set(String(name), this.of(name) + 1);
  }
  of(name: string | number): number {
    return this.#counts.get(String(name)) ?? 0;
  }
  toString(): string {
    return [...this.#counts]
      .sort()
      .map(([name, count]) => `${name}: ${count}`)
      .join(", ");
  }
}

export interface Delivery {
  readonly events: readonly { uuid: string }[];
}

export function newDelivery(events: number): Delivery {
  return { events: Array.from({ length: events }, () => tolokaEvent("ASSIGNMENT_SUBMITTED")) };
}

export const idsOf = (deliveries: readonly Delivery[]) =>
  deliveries.flatMap(({ events }) => events.map(({ uuid }) => uuid));

export const missingFrom = (counts: ReadonlyMap<string, number>, ids: readonly string[]) =>
  ids.filter((id) => !counts.has(id));

export const repeatedIn = (counts: ReadonlyMap<string, number>) =>
  [...counts].filter(([, count]) => count > 1).map(([id]) => id);

/** Sends the items of a list with `lanes` concurrent senders. */
export async function inLanes<T>(
  lanes: number,
  list: Iterable<T>,
  send: (item: T) => Promise<void>,
): Promise<void> {
  const rest = list[Symbol.iterator]();
  const lane = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) await send(next.value);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

export function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

export const secondsSince = (start: number) => ((performance.now() - start) / 1000).toFixed(1);

/** Starts web processes and the Redis that they share, and ends all of them after the tests. */
export function useWebProcesses() {
  let folder: string;
  const servers: RedisServer[] = [];
  const children: ChildProcess[] = [];

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "crowdhook-processes-"));
  });
  afterAll(async () => {
    const exits = children.map((child) => ended(child));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(exits);
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true });
  });

  async function startRedis(...args: string[]): Promise<RedisServer> {
    const server = await redisServer("own", "--dir", folder, ...args);
    servers.push(server);
    return server;
  }

  async function startWorker(options: Omit<WorkerOptions, "secret">): Promise<Worker> {
    const child = spawn(
      process.execPath,
      ["--import", "tsx", "redis-worker.ts", JSON.stringify({ ...options, secret: SECRET })],
      {
        cwd: fileURLToPath(new URL(".", import.meta.url)),
        // The process logs the failures that this test causes on purpose.
        stdio: ["ignore", "pipe", process.env.WORKER_LOG ? "inherit" : "ignore"],
      },
    );
    children.push(child);
    const [port] = await Promise.race([
      once(child.stdout as NodeJS.ReadableStream, "data"),
      once(child, "exit").then(() => []),
    ]);
    if (!(Number(port) > 0))
      throw new Error("A web process ended before it listened. Set WORKER_LOG to see why.");
    return { process: child, origin: `http://127.0.0.1:${Number(port)}` };
  }

  return { startRedis, startWorker, journalOf: (name: string) => new Journal(path.join(folder, name)) };
}
