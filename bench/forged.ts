/**
 * What good traffic has to wait for while forged requests come, 1,000 a second: the same good traffic
 * with and without them, by turns. Server and senders are processes of their own. Run it by
 * `pnpm bench forged`; `--quick` for fewer and shorter phases. Other programs show in a p99 before
 * anything else does: on a machine that is busy, `nice -n -20 pnpm bench forged` goes before them.
 */
import type { ChildProcess } from "node:child_process";
import type { Latencies, Order } from "./forged-load.js";
import type { Ask, Usage } from "./http-server.js";
import { ask, message, start } from "./processes.js";
import { record } from "./results.js";
import { interleave, median, ratios } from "./rounds.js";
import { milliseconds, percent, range } from "./units.js";

const QUICK = process.argv.includes("--quick");
const ROUNDS = QUICK ? 2 : 6;
const SECONDS = QUICK ? 2 : 5;
/** Requests a second. */
const GOOD = 200;
const FORGED = 1_000;

interface Server {
  readonly name: string;
  readonly does: string;
  readonly child: ChildProcess;
  readonly port: number;
  /** What forged requests are answered with. */
  readonly refusal: number;
}

interface Phase {
  readonly server: Server;
  readonly flooded: boolean;
}

interface Result extends Latencies {
  /** Of one core. */
  readonly cpu: number;
}

async function server(side: string, name: string, does: string, refusal: number): Promise<Server> {
  const child = start("http-server", ["node", side]);
  return { name, does, child, port: await message<number>(child), refusal };
}

const servers = [
  await server("bare", "bare handler", "reads the body, verifies nothing", 200),
  await server("hand", "by hand", "HMAC, compare, time, JSON.parse", 401),
  await server("ours", "crowdhook", "all of it, claims in memory, one listener", 401),
];
const goodLoad = start("forged-load", []);
const forgedLoad = start("forged-load", []);
const phases = servers.flatMap((server): Phase[] => [
  { server, flooded: false },
  { server, flooded: true },
]);

async function run({ server: { child, port, refusal }, flooded }: Phase, seconds: number): Promise<Result> {
  const before = await ask<Usage>(child, {} satisfies Ask);
  const good: Order = { port, forged: false, rate: GOOD, seconds, status: 200 };
  const forged: Order = { port, forged: true, rate: FORGED, seconds, status: refusal };
  const flood = flooded ? ask<Latencies>(forgedLoad, forged) : undefined;
  const latencies = await ask<Latencies>(goodLoad, good);
  const late = Math.max(latencies.late, (await flood)?.late ?? 0);
  const after = await ask<Usage>(child, {} satisfies Ask);
  const accepted = after.events - before.events - (flooded && refusal === 200 ? FORGED * seconds : 0);
  if (accepted !== GOOD * seconds) throw new Error(`${accepted} events came out`);
  return { ...latencies, late, cpu: (after.cpu - before.cpu) / 1e6 / seconds };
}

for (const phase of phases) await run(phase, 1);
const results = await interleave(phases, ROUNDS, (phase) => run(phase, SECONDS));

const of = (server: Server, flooded: boolean, figure: keyof Result) => {
  const phase = phases.find((phase) => phase.server === server && phase.flooded === flooded) as Phase;
  return results.get(phase)?.map((result) => result[figure]) ?? [];
};
const slower = (server: Server, figure: keyof Result) =>
  ratios(of(server, true, figure), of(server, false, figure));
const both = (server: Server, figure: keyof Result, write: (value: number) => string) =>
  [false, true].map((flooded) => write(median(of(server, flooded, figure))));
const lateness = [...results.values()].flat().map(({ late }) => late);

record("forged", {
  title: "Good traffic beside forged requests",
  method: `Good deliveries of one event, ${GOOD} a second, to a \`node:http\` server; in every second phase forged ones, ${FORGED} a second, of the same size and with a signature that does not fit. Each request is sent at its time, and its latency counts from then. ${ROUNDS} rounds of ${phases.length} phases of ${SECONDS} seconds; a ratio is the median of those within the rounds, with its quartiles. Server and senders share this machine, so what the bare handler shows is the flood itself. The quietest p99 is that of the phase which the rest of the machine disturbed least. What the senders themselves were late by is in all of them: ${milliseconds(median(lateness))} (p99).`,
  tables: [
    {
      caption: "Latency of good deliveries, without and with the flood",
      head: [
        "handler",
        "does",
        ...["p50", "flooded", "ratio"],
        ...["p99", "flooded", "ratio"],
        ...["quietest p99", "flooded"],
        ...["CPU", "flooded"],
      ],
      rows: servers.map((server) => [
        server.name,
        server.does,
        ...both(server, "p50", milliseconds),
        range(slower(server, "p50")),
        ...both(server, "p99", milliseconds),
        range(slower(server, "p99")),
        ...[false, true].map((flooded) => milliseconds(Math.min(...of(server, flooded, "p99")))),
        ...both(server, "cpu", percent),
      ]),
    },
  ],
  figures: { forged: slower(servers.at(-1) as Server, "p99").median },
});
process.exit();
