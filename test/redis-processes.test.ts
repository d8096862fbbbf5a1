import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";
import type { Note, WorkerOptions } from "./redis-worker.js";
import { seededRandom } from "./seeded-random.js";

const SECRET = "12345";
const SEED = 20_260_717;

const missing = redisMissing("own");
if (missing) console.warn(missing);

let folder: string;
const servers: RedisServer[] = [];
const children: ChildProcess[] = [];

async function startRedis(...args: string[]): Promise<RedisServer> {
  const server = await redisServer("own", "--dir", folder, ...args);
  servers.push(server);
  return server;
}

interface Worker {
  readonly process: ChildProcess;
  readonly origin: string;
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

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly retryAfter: string | undefined;
}

/** Signs and sends one request. Rejects without a complete answer. */
function post(url: string, events: readonly object[], agent: http.Agent): Promise<Answer> {
  const { method, headers, body } = signToloka({ secret: SECRET, events });
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method,
      agent,
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
    });
    request.on("error", reject);
    request.on("response", async (response) => {
      try {
        let text = "";
        for await (const chunk of response) text += chunk;
        const { code } = JSON.parse(text);
        resolve({ status: response.statusCode ?? 0, code, retryAfter: response.headers["retry-after"] });
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
}

/** The journal of a test, in which all processes record what they do. */
class Journal {
  readonly file: string;
  constructor(name: string) {
    this.file = path.join(folder, name);
  }
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

class Tally {
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

interface Delivery {
  readonly events: readonly { uuid: string }[];
}

function newDelivery(events: number): Delivery {
  return { events: Array.from({ length: events }, () => tolokaEvent("ASSIGNMENT_SUBMITTED")) };
}

const idsOf = (deliveries: readonly Delivery[]) =>
  deliveries.flatMap(({ events }) => events.map(({ uuid }) => uuid));

const missingFrom = (counts: ReadonlyMap<string, number>, ids: readonly string[]) =>
  ids.filter((id) => !counts.has(id));

const repeatedIn = (counts: ReadonlyMap<string, number>) =>
  [...counts].filter(([, count]) => count > 1).map(([id]) => id);

/** Sends the items of a list with `lanes` concurrent senders. */
async function inLanes<T>(lanes: number, list: Iterable<T>, send: (item: T) => Promise<void>): Promise<void> {
  const rest = list[Symbol.iterator]();
  const lane = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) await send(next.value);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

const secondsSince = (start: number) => ((performance.now() - start) / 1000).toFixed(1);

describe.skipIf(missing)(`web processes that share a Redis ${missing ?? ""}`, () => {
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

  interface Run {
    readonly deliveries: number;
    readonly kills: number;
    readonly takes: [number, number];
    readonly lease?: number;
    readonly signal: AbortSignal;
  }

  /** Sends each delivery 4 times, in random order and to random ones of eight processes, until it gets 200. */
  async function bombard({ deliveries: count, kills, takes, lease, signal }: Run) {
    const random = seededRandom(SEED);
    const redis = await startRedis();
    const journal = new Journal(`kills-${kills}`);
    const start = (seed: number) =>
      startWorker({
        redis: redis.url,
        journal: journal.file,
        seed,
        takes,
        failing: 0.05,
        ...(lease !== undefined && { lease }),
      });
    const workers = await Promise.all(Array.from({ length: 8 }, (_, i) => start(SEED + i)));
    const deliveries = Array.from({ length: count }, () => newDelivery(5));
    const copies = shuffled(
      deliveries.flatMap((delivery) => Array<Delivery>(4).fill(delivery)),
      random,
    );

    const answers = new Tally();
    const agent = new http.Agent({ keepAlive: true });
    const restarts: Promise<void>[] = [];
    let delivered = 0;
    const killOne = () => {
      const i = Math.floor(random() * workers.length);
      const worker = workers[i] as Worker;
      worker.process.kill("SIGKILL");
      restarts.push(
        start(SEED + 100 + restarts.length).then((restarted) => {
          workers[i] = restarted;
        }),
      );
    };
    const begin = performance.now();
    await inLanes(64, copies, async ({ events }) => {
      for (;;) {
        signal.throwIfAborted();
        const { origin } = workers[Math.floor(random() * workers.length)] as Worker;
        const answer = await post(`${origin}/toloka-webhook`, events, agent).catch(() => undefined);
        answers.add(answer ? [answer.status, answer.code].filter(Boolean).join(" ") : "none");
        if (answer?.status === 200) break;
        await delay(50 + random() * 100);
      }
      // Progress, not time, triggers a kill: so the kills spread over the run.
      if (++delivered % Math.ceil(copies.length / (kills + 1)) === 0 && restarts.length < kills) killOne();
    });
    const seconds = secondsSince(begin);
    await Promise.all(restarts);
    agent.destroy();

    const ids = idsOf(deliveries);
    const succeeded = journal.count("succeeded");
    const total = [...succeeded.values()].reduce((sum, times) => sum + times, 0);
    const ends = total + [...journal.count("failed").values()].reduce((sum, times) => sum + times, 0);
    const begun = [...journal.count("begun").values()].reduce((sum, times) => sum + times, 0);
    console.log(
      `${count} deliveries of 5 events, each sent 4 times; answers ${answers}; ${total} events handled successfully, ` +
        `${ends - total} calls failed, ${begun - ends} cut short, ${total - succeeded.size} duplicates, ${restarts.length} kills, ${seconds} s`,
    );
    return {
      journal,
      lost: missingFrom(succeeded, ids),
      repeated: repeatedIn(succeeded),
      handled: total,
      failed: ends - total,
      cutShort: begun - ends,
      kills: restarts.length,
    };
  }

  test("eight processes handle every event exactly once, however often and wherever it is delivered", {
    timeout: 240_000,
  }, async ({ signal }) => {
    const run = await bombard({ deliveries: 2_000, kills: 0, takes: [0, 3], signal });
    expect(run.lost).toEqual([]);
    expect(run.repeated).toEqual([]);
    expect(run.handled).toBe(10_000);
    // Otherwise no call failed, and nothing was retried.
    expect(run.failed).toBeGreaterThan(100);
  });

  test("random kills lose no event and repeat none that Redis has confirmed as done", {
    timeout: 240_000,
  }, async ({ signal }) => {
    const run = await bombard({ deliveries: 1_000, kills: 20, takes: [0, 15], lease: 3_000, signal });
    expect(run.lost).toEqual([]);
    expect(run.journal.begunAfterSettled()).toEqual([]);
    expect(run.kills).toBe(20);
    // Or the kills have hit nothing.
    expect(run.cutShort).toBeGreaterThan(0);
  });

  test.for([
    { client: "queues commands", offlineQueue: true },
    { client: "rejects commands", offlineQueue: false },
  ])(
    "deliveries during an outage of Redis get 503 in time and succeed later, with a client that $client",
    {
      timeout: 240_000,
    },
    async ({ offlineQueue }, { signal }) => {
      const random = seededRandom(SEED);
      // This Redis writes before it answers: after the outage it still knows the events that are done.
      const redis = await startRedis(
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--appenddirname",
        `queue-${offlineQueue}`,
      );
      const journal = new Journal(`outage-${offlineQueue}`);
      const worker = await startWorker({
        redis: redis.url,
        journal: journal.file,
        seed: SEED,
        takes: [0, 5],
        failing: 0,
        offlineQueue,
        // Events that run when Redis stops stay claimed until their lease expires.
        lease: 2_000,
      });
      const agent = new http.Agent({ keepAlive: true });
      let state = "before" as "before" | "out" | "back";
      const deliveries: Delivery[] = [];
      const answers = new Tally();
      const duringOutage: (Answer & { took: number })[] = [];
      const refused = new Set<Delivery>();
      const sentMeanwhile: Delivery[] = [];
      let begunMeanwhile: readonly string[] = [];

      const deliver = async (delivery: Delivery) => {
        for (;;) {
          signal.throwIfAborted();
          const sentIn = state;
          const sentAt = performance.now();
          // Rejects if the web process crashes.
          const answer = await post(`${worker.origin}/toloka-webhook`, delivery.events, agent);
          answers.add([answer.status, answer.code].filter(Boolean).join(" "));
          if (sentIn === "out" && state === "out") {
            duringOutage.push({ ...answer, took: performance.now() - sentAt });
            refused.add(delivery);
          }
          if (answer.status === 200) return;
          await delay(300 + random() * 700);
        }
      };
      const begin = performance.now();
      const sending: Promise<void>[] = [];
      const load = (async () => {
        for (let afterwards = 100; afterwards > 0; ) {
          if (state === "back") afterwards--;
          const delivery = newDelivery(3);
          deliveries.push(delivery);
          if (state === "out") sentMeanwhile.push(delivery);
          sending.push(deliver(delivery));
          await delay(10, undefined, { signal });
        }
      })();
      const outage = (async () => {
        while (answers.of(200) < 100) await delay(5, undefined, { signal });
        await redis.control?.stop();
        state = "out";
        // The length of the outage. Deliveries arrive meanwhile.
        await delay(5_000);
        const begun = journal.count("begun");
        begunMeanwhile = idsOf(sentMeanwhile).filter((id) => begun.has(id));
        state = "back";
        await redis.control?.start();
      })();
      await Promise.all([load, outage]);
      await Promise.all(sending);
      const seconds = secondsSince(begin);
      agent.destroy();

      const succeeded = journal.count("succeeded");
      const slowest = Math.max(...duringOutage.map(({ took }) => took));
      console.log(
        `${deliveries.length} deliveries of 3 events, Redis gone for 5 s; answers ${answers}; while it was gone ${duringOutage.length} ` +
          `to ${refused.size} deliveries, the slowest after ${(slowest / 1000).toFixed(2)} s; ${succeeded.size} events handled, ` +
          `${repeatedIn(succeeded).length} of them again, ${seconds} s`,
      );
      expect(refused.size).toBeGreaterThan(50);
      for (const answer of duringOutage) {
        expect(answer).toMatchObject({ status: 503, code: "STORE_UNAVAILABLE", retryAfter: "5" });
      }
      // Without a claim, no listener may run.
      expect(begunMeanwhile).toEqual([]);
      // The limit is three seconds. A call without a limit would take the whole outage of five.
      expect(slowest).toBeLessThan(4_500);
      expect(missingFrom(succeeded, idsOf(deliveries))).toEqual([]);
      expect(journal.begunAfterSettled()).toEqual([]);
      expect(worker.process.exitCode ?? worker.process.signalCode).toBeNull();
    },
  );

  test("a process under load answers accepted deliveries after SIGTERM, refuses new ones with 503, and exits with 0", {
    timeout: 120_000,
  }, async ({ signal }) => {
    const redis = await startRedis();
    const random = seededRandom(SEED);
    const journal = new Journal("sigterm");
    const worker = await startWorker({
      redis: redis.url,
      journal: journal.file,
      seed: SEED,
      takes: [50, 300],
      failing: 0,
    });
    const answers = new Tally();
    const answered = new Map<string, Answer>();
    const events = new Map<string, string>();
    let terminated = 0;
    let sent = 0;
    let refused = 0;
    const lane = async () => {
      // One connection that stays open, so that requests still reach the process after SIGTERM.
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        signal.throwIfAborted();
        const request = String(sent++);
        const delivery = newDelivery(1);
        events.set(request, idsOf([delivery])[0] ?? "");
        try {
          const answer = await post(`${worker.origin}/toloka-webhook?${request}`, delivery.events, agent);
          answered.set(request, answer);
          answers.add([answer.status, answer.code].filter(Boolean).join(" "));
          if (answer.status === 503) await delay(5 + random() * 10);
        } catch (error) {
          answers.add((error as NodeJS.ErrnoException).code ?? String(error));
          refused++;
          agent.destroy();
          return;
        }
        if (terminated === 0 && answers.of(200) >= 200) {
          terminated = performance.now();
          worker.process.kill("SIGTERM");
        }
      }
    };
    let took = Number.NaN;
    const exit = ended(worker.process).finally(() => {
      took = performance.now() - terminated;
    });
    const [exitCode] = await Promise.all([exit, ...Array.from({ length: 32 }, lane)]);

    const accepted = [...journal.count("accepted").keys()];
    const succeeded = journal.count("succeeded");
    const settled = journal.count("settled");
    console.log(
      `${sent} deliveries to a process with listeners of up to 300 ms; answers ${answers}; ${accepted.length} accepted, ` +
        `${accepted.filter((request) => !answered.has(request)).length} of them cut off; exit code ${exitCode} ${(took / 1000).toFixed(2)} s after SIGTERM`,
    );
    expect(accepted.filter((request) => !answered.has(request))).toEqual([]);
    expect(answers.of("503 SHUTTING_DOWN")).toBeGreaterThan(0);
    expect(answers.of(200) + answers.of("503 SHUTTING_DOWN")).toBe(answered.size);
    for (const [request, { status }] of answered) {
      const id = events.get(request) ?? "";
      expect([succeeded.has(id), settled.has(id)]).toEqual([status === 200, status === 200]);
    }
    expect(refused).toBe(32);
    expect(exitCode).toBe(0);
    expect(took).toBeLessThan(3_000);
  });
});
