import { type ChildProcess, spawn } from "node:child_process";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { tolokaEvent } from "@crowdhook/core/testing";
import { afterEach, describe, expect, test } from "vitest";
import type { Command, FloodOptions, Told } from "./flood-worker.js";
import { type Answer, post, SECRET } from "./post.js";

const MAX_IN_FLIGHT = 100;
/** A body's size in bytes: a flood of them that were kept could not be overlooked. */
const SIZE = 64 * 1024;
/** `FLOOD=20000` is the whole of it. */
const FLOOD = Number(process.env.FLOOD ?? 2_000);
/** Each takes a file on either side, of which a process may have 20,000 here and there. */
const SOCKETS = Math.min(FLOOD, 19_000);
const MIB = 1024 * 1024;

const children: ChildProcess[] = [];
const agents: http.Agent[] = [];
afterEach(() => {
  for (const agent of agents.splice(0)) agent.destroy();
  for (const child of children.splice(0)) child.kill();
});

interface Server {
  readonly origin: string;
  tell(command: Command): void;
  hear<Name extends Told["told"]>(
    name: Name,
    suits?: (told: Extract<Told, { told: Name }>) => boolean,
  ): Promise<Extract<Told, { told: Name }>>;
  ask<Name extends Told["told"]>(command: Command, name: Name): Promise<Extract<Told, { told: Name }>>;
}

async function start(): Promise<Server> {
  const options: FloodOptions = { secret: SECRET, maxInFlight: MAX_IN_FLIGHT };
  const child = spawn(
    process.execPath,
    ["--expose-gc", "--import", "tsx", "flood-worker.ts", JSON.stringify(options)],
    {
      cwd: fileURLToPath(new URL(".", import.meta.url)),
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  );
  children.push(child);
  const hear: Server["hear"] = (name, suits = () => true) =>
    new Promise((resolve, reject) => {
      const exit = () => reject(new Error("The web process has ended."));
      const message = (told: Told) => {
        if (told.told !== name || !suits(told as never)) return;
        child.off("message", message);
        child.off("exit", exit);
        resolve(told as never);
      };
      child.on("message", message);
      child.once("exit", exit);
    });
  const { port } = await hear("port");
  const tell = (command: Command) => void child.send(command);
  return {
    origin: `http://127.0.0.1:${port}`,
    tell,
    hear,
    ask(command, name) {
      const heard = hear(name);
      tell(command);
      return heard;
    },
  };
}

/** Delivers an event by its id, in a body of some size. */
function deliver(origin: string, uuid: string, agent: http.Agent, size = SIZE): Promise<Answer> {
  const event = tolokaEvent("POOL_CLOSED", { uuid, filler: "x".repeat(size) });
  return post(`${origin}/toloka-webhook`, [event], agent);
}

/** Calls for each, so many at once: the sender's own memory is no concern of this test. */
async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  call: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: Math.min(atOnce, items.length) }, async () => {
      for (const item of left) await call(item);
    }),
  );
}

function agentOf(maxSockets: number): http.Agent {
  const agent = new http.Agent({ keepAlive: true, maxSockets, maxFreeSockets: maxSockets });
  agents.push(agent);
  return agent;
}

const idsOf = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`);

/** Fills the process up: each of these deliveries has a listener that waits. */
async function fillUp(server: Server): Promise<Promise<Answer>[]> {
  const full = server.hear("waiting", ({ waiting }) => waiting === MAX_IN_FLIGHT);
  server.tell("hold");
  const agent = agentOf(MAX_IN_FLIGHT);
  const held = idsOf("held", MAX_IN_FLIGHT).map((id) => deliver(server.origin, id, agent));
  await full;
  return held;
}

describe(`a flood of ${FLOOD} deliveries to a process that has ${MAX_IN_FLIGHT} in flight`, () => {
  test("is refused with 503, keeps memory flat, and loses and repeats nothing once it has come again", {
    timeout: 300_000,
  }, async () => {
    const server = await start();
    const held = await fillUp(server);
    // A process needs memory for its sockets, whatever comes on them: these are open from now on.
    const agent = agentOf(SOCKETS);
    const ids = idsOf("flood", FLOOD);
    await eachOf(ids, SOCKETS, async (id) => {
      expect((await deliver(server.origin, id, agent, 0)).code).toBe("OVERLOADED");
    });
    const sockets = Object.values(agent.freeSockets).flat().length;
    const before = await server.ask("measure", "memory");

    const begin = performance.now();
    const refused = new Set<string>();
    await eachOf(ids, SOCKETS, async (id) => {
      const answer = await deliver(server.origin, id, agent);
      expect(answer).toEqual({ status: 503, code: "OVERLOADED", retryAfter: "5" });
      refused.add(id);
    });
    const seconds = (performance.now() - begin) / 1000;
    expect(refused.size).toBe(FLOOD);
    const after = await server.ask("measure", "memory");
    const { events } = await server.ask("events", "events");
    expect(events.filter(([id]) => id.startsWith("flood"))).toEqual([]);

    server.tell("open");
    expect((await Promise.all(held)).every(({ status }) => status === 200)).toBe(true);
    const tries = new Map<string, number>();
    await eachOf(ids, 150, async (id) => {
      for (;;) {
        tries.set(id, (tries.get(id) ?? 0) + 1);
        const { status, code } = await deliver(server.origin, id, agent);
        if (status === 200) return;
        expect([status, code]).toEqual([503, "OVERLOADED"]);
      }
    });
    const handled = new Map((await server.ask("events", "events")).events);
    expect([...handled.keys()].sort()).toEqual([...ids, ...idsOf("held", MAX_IN_FLIGHT)].sort());
    expect([...handled.values()].every((times) => times === 1)).toBe(true);

    const mib = (bytes: number) => (bytes / MIB).toFixed(1);
    const again = [...tries.values()].reduce((total, times) => total + times, 0);
    console.log(
      `${FLOOD} deliveries of ${SIZE / 1024} kB, ${mib(FLOOD * SIZE)} MiB, over ${sockets} open sockets in ${seconds.toFixed(1)} s; ` +
        `RSS ${mib(before.rss)} MiB before, at most ${mib(after.most)}, ${mib(after.rss)} after; heap ${mib(before.heap)} and ${mib(after.heap)} MiB; ` +
        `then handled, all of them once, in ${again} tries`,
    );
    // What is thrown away as it comes passes through buffers, too.
    expect(after.most - before.rss).toBeLessThan(64 * MIB);
    expect(after.heap - before.heap).toBeLessThan(10 * MIB);
  });

  test("and is closed in the middle of it, answers all that it has accepted, and only then is closed", {
    timeout: 60_000,
  }, async () => {
    const server = await start();
    const held = await fillUp(server);
    const codes = new Map<string, number>();
    let closing = false;
    let openAt = Number.POSITIVE_INFINITY;
    let left = 300;
    const agent = agentOf(50);
    const flood = eachOf(idsOf("flood", FLOOD), 50, async (id) => {
      if (closing && left === 0) return;
      const { status, code } = await deliver(server.origin, id, agent);
      const answer = `${status} ${code}`;
      codes.set(answer, (codes.get(answer) ?? 0) + 1);
      if (closing && --left === 0) {
        openAt = performance.now();
        server.tell("open");
      }
      if (!closing && codes.get(answer) === 300) {
        closing = true;
        closed = server.ask("close", "closed").then((told) => ({ ...told, at: performance.now() }));
      }
    });
    let closed: Promise<{ unanswered: number; at: number }> | undefined;
    await flood;
    for (const { status } of await Promise.all(held)) expect(status).toBe(200);
    const { at } = (await closed) as { unanswered: number; at: number };
    expect(at).toBeGreaterThan(openAt);
    expect([...codes.keys()].sort()).toEqual(["503 OVERLOADED", "503 SHUTTING_DOWN"]);
    expect(codes.get("503 SHUTTING_DOWN")).toBeGreaterThan(200);
    const handled = new Map((await server.ask("events", "events")).events);
    expect([...handled.keys()].sort()).toEqual(idsOf("held", MAX_IN_FLIGHT).sort());
    expect([...handled.values()].every((times) => times === 1)).toBe(true);
  });
});
