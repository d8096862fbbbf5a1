/**
 * Over HTTP: each adapter beside handlers that are written by hand in the same framework. Every server
 * is a process of its own, and so is what sends the requests; if `taskset` is there, all servers share
 * one core, which only one at a time needs, and the sender has another. `pnpm bench http --node` only
 * prints, and only what it says of that framework.
 */
import type { ChildProcess } from "node:child_process";
import type { Order, Run } from "./http-load.js";
import type { Ask, Framework, Side, Usage } from "./http-server.js";
import { ask, message, pins, start } from "./processes.js";
import type { Manner } from "./requests.js";
import { record, versions } from "./results.js";
import { interleave, median, ratios } from "./rounds.js";
import { megabytes, microseconds, milliseconds, percent, range } from "./units.js";

const ROUNDS = 20;
const SECONDS = 0.25;
const CONNECTIONS = [10, 100];
const ALL: readonly Framework[] = ["node", "express", "fastify", "koa", "fetch"];
const chosen = ALL.filter((framework) => process.argv.includes(`--${framework}`));
const FRAMEWORKS = chosen.length > 0 ? chosen : ALL;
const WARM_UP = 10_000;
const MEMORY_ROUNDS = 3;
const MEMORY_REQUESTS = 20_000;

const NAMES: Readonly<Record<Side, string>> = {
  bare: "bare",
  hand: "hand-written",
  again: "hand-written, once more",
  usual: "hand-written, by express.raw and json",
  ours: "**crowdhook**",
  octokit: "@octokit/webhooks",
};

const load = start("http-load", [], 1);
const order = <Answer>(order: Order) => ask<Answer>(load, order);

interface Running {
  readonly side: Side;
  readonly child: ChildProcess;
  readonly port: number;
}

async function serve(framework: Framework, side: Side): Promise<Running> {
  const child = start("http-server", [framework, side], 0);
  return { side, child, port: await message<number>(child) };
}

const sidesOf = (framework: Framework): readonly Side[] => [
  "bare",
  "hand",
  ...(framework === "node" ? (["again", "octokit"] as const) : []),
  ...(framework === "express" ? (["usual"] as const) : []),
  "ours",
];
const mannerOf = (side: Side): Manner => (side === "octokit" ? "github" : "toloka");

interface Measured extends Run {
  /** Microseconds of the server's CPU time. */
  readonly cpu: number;
  /** The share of its core that the server had. */
  readonly share: number;
  readonly memory: number;
  readonly heap: number;
  readonly peak: number;
}

/** Sends what is prepared; every event must come out. */
async function send(
  { side, child, port }: Running,
  connections: number,
  seconds: number | undefined,
  collect = false,
): Promise<Measured> {
  const before = await ask<Usage>(child, {} satisfies Ask);
  const run = await order<Run>({ manner: mannerOf(side), port, connections, seconds });
  const after = await ask<Usage>(child, { collect } satisfies Ask);
  if (after.events - before.events !== run.requests) {
    throw new Error(`Of ${run.requests} events ${after.events - before.events} came out.`);
  }
  const used = after.cpu - before.cpu;
  const { memory, heap, peak } = after;
  return { ...run, cpu: used / run.requests, share: used / 1e6 / run.seconds, memory, heap, peak };
}

type Runs = ReadonlyMap<Side, readonly Measured[]>;

/** All sides of a framework, by the number of connections. */
async function speedOf(framework: Framework): Promise<ReadonlyMap<number, Runs>> {
  const running = await Promise.all(sidesOf(framework).map((side) => serve(framework, side)));
  const manners = [...new Set(sidesOf(framework).map(mannerOf))];
  let fastest = 0;
  await order({ prepare: manners, requests: WARM_UP });
  for (const server of running) {
    const { requests, seconds } = await send(server, 10, undefined);
    fastest = Math.max(fastest, requests / seconds);
  }
  const runs = new Map<number, Runs>();
  for (const connections of CONNECTIONS) {
    let prepared = -1;
    const results = await interleave(running, ROUNDS, async (server, round) => {
      // Once a round for all sides: none of them is sent a request twice.
      if (prepared !== round) {
        await order({ prepare: manners, requests: Math.ceil(1.5 * SECONDS * fastest) });
        prepared = round;
      }
      return send(server, connections, SECONDS);
    });
    runs.set(connections, new Map([...results].map(([{ side }, measured]) => [side, measured])));
  }
  for (const { child } of running) child.kill();
  return runs;
}

/** At 100 connections, of processes that were started for it. */
async function memoryOf(framework: Framework): Promise<Runs> {
  return interleave(["bare", "ours"] as const, MEMORY_ROUNDS, async (side) => {
    const running = await serve(framework, side);
    await order({ prepare: [mannerOf(side)], requests: MEMORY_REQUESTS });
    const measured = await send(running, 100, undefined, true);
    running.child.kill();
    return measured;
  });
}

const column = (runs: Runs, side: Side, name: keyof Measured) =>
  (runs.get(side) ?? []).map((run) => run[name]);
const middle = (runs: Runs, side: Side, name: keyof Measured) => median(column(runs, side, name));
/** Requests a second, as a ratio between two sides: of wall-clock time, or of the server's CPU time. */
const rates = (runs: Runs, of: Side, to: Side) =>
  ratios(
    (runs.get(of) ?? []).map(({ requests, seconds }) => requests / seconds),
    (runs.get(to) ?? []).map(({ requests, seconds }) => requests / seconds),
  );
const capacity = (runs: Runs, of: Side, to: Side) => ratios(column(runs, to, "cpu"), column(runs, of, "cpu"));

function rowsOf(framework: Framework, connections: number, runs: Runs): string[][] {
  return sidesOf(framework).map((side) => [
    framework,
    String(connections),
    NAMES[side],
    range(capacity(runs, side, "hand")),
    range(rates(runs, side, "hand")),
    Math.round(
      median((runs.get(side) ?? []).map(({ requests, seconds }) => requests / seconds)),
    ).toLocaleString("en"),
    milliseconds(middle(runs, side, "p50")),
    milliseconds(middle(runs, side, "p99")),
    microseconds(1000 * middle(runs, side, "cpu")),
    percent(middle(runs, side, "share")),
  ]);
}

const speed = new Map<Framework, ReadonlyMap<number, Runs>>();
const memory = new Map<Framework, Runs>();
for (const framework of FRAMEWORKS) {
  console.error(`http: ${framework}`);
  speed.set(framework, await speedOf(framework));
  memory.set(framework, await memoryOf(framework));
}
load.kill();

const all = [...speed].flatMap(([framework, byConnections]) =>
  [...byConnections].map(([connections, runs]) => ({ framework, connections, runs })),
);
const beside = all.filter(({ framework }) => framework === "node");
const over = (runs: Runs) => middle(runs, "ours", "memory") - middle(runs, "bare", "memory");

record("http", {
  title: "Over HTTP",
  method: `\
Loopback, deliveries with one event, each of them new and newly signed. In each framework **crowdhook** is its adapter, with one asynchronous listener and claims in memory. Hand-written is the leanest handler that reads the bytes from the stream, verifies them as in "the limit" above, checks the time, parses, and answers with a constant; it limits nothing, validates nothing and claims nothing. Bare only reads the bytes and answers. The fetch adapter is run by Hono, by hand with Hono's own means. ${versions("express", "fastify", "koa", "hono", "@hono/node-server", "@octokit/webhooks")}.

Each server is a process of its own${pins ? ", all of them on one core," : ""} and what sends the requests is another${pins ? ", on another core" : ""}, which never sleeps: waking a core would take a good part of the server's time, and a different one for each side. The sides run for ${SECONDS} s each in ${ROUNDS} rounds, in rotating order, after ${WARM_UP.toLocaleString("en")} requests to warm up. A ratio is the median of the ratios within the rounds, to hand-written; in brackets the range of the middle half. Requests per CPU second are those that the server's core allows: where nothing else runs on it, they are in the same ratio as requests per second, and other programs do not change them. "Once more" is the same code a second time: what it is away from 1.00 is noise.`,
  tables: [
    {
      caption: "Requests, as ratios to hand-written, and in figures",
      head: [
        "framework",
        "connections",
        "side",
        "per CPU second",
        "per second",
        "requests/s",
        "p50",
        "p99",
        "CPU per request",
        "server's core",
      ],
      rows: all.flatMap(({ framework, connections, runs }) => rowsOf(framework, connections, runs)),
    },
    {
      caption: "The node adapter beside @octokit/webhooks' createNodeMiddleware, on equal bodies",
      head: ["connections", "requests per CPU second", "requests per second", "CPU per request"],
      rows: beside.map(({ connections, runs }) => [
        String(connections),
        range(capacity(runs, "ours", "octokit")),
        range(rates(runs, "ours", "octokit")),
        range(capacity(runs, "octokit", "ours")),
      ]),
    },
    {
      caption: `Resident memory at 100 open connections, after ${MEMORY_REQUESTS.toLocaleString("en")} requests and a collection; what of it is objects; the peak before`,
      head: [
        "framework",
        "bare",
        "crowdhook",
        "over bare",
        "objects, bare",
        "objects, crowdhook",
        "peak, bare",
        "peak, crowdhook",
      ],
      rows: [...memory].map(([framework, runs]) => [
        framework,
        megabytes(middle(runs, "bare", "memory")),
        megabytes(middle(runs, "ours", "memory")),
        megabytes(over(runs)),
        megabytes(middle(runs, "bare", "heap")),
        megabytes(middle(runs, "ours", "heap")),
        megabytes(middle(runs, "bare", "peak")),
        megabytes(middle(runs, "ours", "peak")),
      ]),
    },
  ],
  figures: Object.fromEntries([
    ...all.map(({ framework, connections, runs }) => [
      `${framework}-${connections}`,
      capacity(runs, "ours", "hand").median,
    ]),
    ...beside.flatMap(({ connections, runs }) => [
      [`octokit-requests-${connections}`, capacity(runs, "ours", "octokit").median],
      [`octokit-cpu-${connections}`, capacity(runs, "octokit", "ours").median],
    ]),
    ...[...memory].map(([framework, runs]) => [`memory-${framework}`, over(runs)]),
  ]),
});
