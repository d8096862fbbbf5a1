/** What an adapter adds to the start of an app: the time that its import takes after its framework's. */
import { execFileSync } from "node:child_process";
import { record, versions } from "./results.js";
import { interleave, median, spread } from "./rounds.js";
import { milliseconds } from "./units.js";

const ROUNDS = 20;
const FRAMEWORKS: Readonly<Record<string, string>> = {
  express: "express",
  fastify: "fastify",
  koa: "koa",
  node: "node:http",
  fetch: "hono",
};

/** Milliseconds. */
interface Took {
  readonly wall: number;
  readonly cpu: number;
}

/** In a fresh process. */
function imported(...names: string[]): Took {
  const script = `
    const cpu = process.cpuUsage();
    const begin = performance.now();
    ${names.map((name) => `await import(${JSON.stringify(name)});`).join("\n")}
    const wall = performance.now() - begin;
    const { user, system } = process.cpuUsage(cpu);
    console.log(JSON.stringify({ wall, cpu: (user + system) / 1000 }));`;
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" }),
  );
}

const sides = Object.entries(FRAMEWORKS).flatMap(([adapter, framework]) => [
  { adapter, names: [framework] },
  { adapter, names: [framework, `@crowdhook/${adapter}`] },
]);
// One round more, so that every file has been read once.
const results = await interleave(sides, 1 + ROUNDS, ({ names }) => imported(...names));
const tookBy = (adapter: string) => {
  const [alone = [], both = []] = [...results].flatMap(([side, took]) =>
    side.adapter === adapter ? [took.slice(1)] : [],
  );
  const more = (kind: keyof Took) =>
    spread(both.map((took, round) => took[kind] - (alone[round]?.[kind] ?? Number.NaN)));
  return { alone, both, more };
};
const middle = (took: readonly Took[]) =>
  `${milliseconds(median(took.map(({ cpu }) => cpu)))}, ${milliseconds(median(took.map(({ wall }) => wall)))}`;

record("cold-import", {
  title: "Cold import",
  method: `\
How long the import of an adapter takes after that of its framework, from files that the system has in memory: the median of ${ROUNDS} rounds, each side in a fresh process and in rotating order, of the CPU time and of the time on the clock. In brackets the range of the middle half. ${versions("express", "fastify", "koa", "hono")}.`,
  tables: [
    {
      caption: "Milliseconds: CPU, clock",
      head: ["adapter", "framework alone", "with the adapter", "more CPU", "more on the clock"],
      rows: Object.keys(FRAMEWORKS).map((adapter) => {
        const { alone, both, more } = tookBy(adapter);
        const written = (kind: keyof Took) => {
          const { median, low, high } = more(kind);
          return `${milliseconds(median)} (${low.toFixed(1)}–${high.toFixed(1)})`;
        };
        return [adapter, middle(alone), middle(both), written("cpu"), written("wall")];
      }),
    },
  ],
  figures: { "cold-import": tookBy("express").more("cpu").median },
});
