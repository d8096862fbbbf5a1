/**
 * The server of load.test.ts, in a process of its own so that its memory is its own: starts an app by
 * its target's name, and says what has become of what was sent to it. Commands come over IPC, each is
 * answered once.
 */
import type http from "node:http";
import type { Socket } from "node:net";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import type { Webhook } from "@crowdhook/core/adapter";
import type { TolokaEvents } from "@crowdhook/core/toloka";
import { type Running, TARGETS } from "./targets.js";

/** What has come so far, and of that what is still there. */
interface Seen {
  readonly connections: number;
  readonly open: number;
  readonly requests: number;
  /** Read on the connections that are open. */
  readonly bytes: number;
}

interface App extends Running {
  readonly server: http.Server;
  readonly sockets: Set<Socket>;
  connections: number;
  requests: number;
  /** How often the secret function was called. */
  secrets: number;
  /** How often listeners were called with each event. */
  readonly events: Map<string, number>;
}

let app: App;
const started: Running[] = [];
const logged: string[] = [];
const troubles: string[] = [];
console.error = (...line) => logged.push(line.join(" "));
process.on("warning", (warning) => troubles.push(String(warning)));
process.on("unhandledRejection", (reason) => troubles.push(String(reason)));
process.on("uncaughtException", (error) => troubles.push(String(error)));

function seen(): Seen {
  const { sockets, connections, requests } = app;
  let bytes = 0;
  for (const socket of sockets) bytes += socket.bytesRead;
  return { connections, open: sockets.size, requests, bytes };
}

/** Twice, with a turn in between: what has a finalizer goes with the second. */
async function collectGarbage(): Promise<void> {
  globalThis.gc?.();
  await nextTurn();
  globalThis.gc?.();
}

function listenersOn(socket: Socket): number {
  return socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0);
}

const commands = {
  /** The port of a new app. Its server lets everybody take their time until it is told not to. */
  async start(name: string, secret: string, options: { maxInFlight?: number; maxBodySize?: number } = {}) {
    // A test that failed has not stopped its own.
    for (const left of started.splice(0)) await left.close();
    logged.length = 0;
    const target = TARGETS.find((target) => target.name === name);
    const source = () => {
      app.secrets++;
      return secret;
    };
    const running = await target?.start(
      { ...options, secret: source },
      { headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0, connectionsCheckingInterval: 20 },
    );
    if (!running?.server) throw new Error(`${name} has no server.`);
    const { server } = running;
    started.push(running);
    app = {
      ...running,
      server,
      sockets: new Set(),
      events: new Map(),
      connections: 0,
      requests: 0,
      secrets: 0,
    };
    const { sockets, events, webhook } = app;
    server.on("connection", (socket: Socket) => {
      app.connections++;
      sockets.add(socket.once("close", () => sockets.delete(socket)));
    });
    server.on("request", () => app.requests++);
    webhook.onAny(({ id }) => void events.set(id, (events.get(id) ?? 0) + 1));
    return Number(new URL(app.origin ?? "").port);
  },
  /** Answered once so much has come, and so many connections are left. */
  async until(wanted: Partial<Seen>) {
    const isMet = (is: Seen) =>
      Object.entries(wanted).every(([name, count]) => is[name as keyof Seen] === count);
    while (!isMet(seen())) await delay(2);
    return seen();
  },
  /** In bytes, after garbage was collected. The heap, and what hangs on it outside. */
  async memory() {
    await collectGarbage();
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heap: heapUsed + external, rss };
  },
  /** From now on the server cuts off who takes longer than so many milliseconds for a request; with 0 nobody. */
  async limit(ms: number) {
    app.server.headersTimeout = ms;
    app.server.requestTimeout = ms;
  },
  async tally() {
    const times = [...app.events.values()];
    return {
      handled: times.length,
      /** The most that listeners were called with one event. */
      most: Math.max(0, ...times),
      secrets: app.secrets,
      logged,
      /** On the open connection that has the most. */
      listeners: Math.max(0, ...[...app.sockets].map(listenersOn)),
    };
  },
  /** What is left once the receiver and then the server were closed. */
  async stop() {
    await (app.webhook as Webhook<TolokaEvents>).receiver.close();
    await app.close();
    // It takes a few turns until what was closed is gone.
    for (let turn = 0; turn < 100 && resources().length > 0; turn++) await nextTurn();
    return { resources: resources(), troubles };
  },
};

/** What holds this process without a server: the pipes to its parent. */
const AT_REST = new Set(process.getActiveResourcesInfo());
const resources = () => process.getActiveResourcesInfo().filter((name) => !AT_REST.has(name));

export type Commands = typeof commands;

export interface Asked {
  readonly name: keyof Commands;
  readonly args: readonly unknown[];
}

export type Told = { readonly answer: unknown } | { readonly failure: string };

process.on("message", async ({ name, args }: Asked) => {
  const command = commands[name] as (...args: readonly unknown[]) => Promise<unknown>;
  const told = await command(...args).then(
    (answer) => ({ answer }),
    (failure) => ({ failure: String(failure) }),
  );
  process.send?.(told satisfies Told);
});
process.on("disconnect", () => process.exit());
