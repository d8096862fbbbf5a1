/**
 * The server of `soak.ts`, in a process of its own: Express, two providers and one claim store in memory. It
 * answers each message with the events that its listeners have handled since the last one, and with its sizes.
 */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { memoryClaims, type ReceivedEvent } from "@crowdhook/core";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/express";
import express from "express";

export interface SoakOptions {
  readonly secret: string;
  readonly maxBodySize: number;
  /** The `max` of `memoryClaims`. */
  readonly max: number;
  /** In milliseconds. The host closes the connection of a slower request. */
  readonly requestTimeout: number;
}

/** An event's id, and whether its listener failed. */
export type Heard = readonly [id: string, failed: boolean];

/** Sizes in bytes, after a garbage collection. Times in milliseconds, since the last report. */
export interface Report {
  readonly heard: readonly Heard[];
  readonly rss: number;
  readonly heap: number;
  /** Memory outside of the heap. */
  readonly external: number;
  readonly sockets: number;
  /** The number of resources that keep the process alive, by kind. */
  readonly resources: Readonly<Record<string, number>>;
  readonly lag: number;
  readonly cpu: number;
  /** All warnings and unhandled rejections since the start. No request should cause one. */
  readonly troubles: readonly string[];
}

/** `close` closes the receivers and the server before a last report. */
export type Ask = "report" | "close";

const { secret, maxBodySize, max, requestTimeout }: SoakOptions = JSON.parse(process.argv[2] ?? "");

let heard: Heard[] = [];
const failedOnce = new Set<string>();
/** Fails once for each event whose data has `fails: true`. */
async function listener({ id, data }: ReceivedEvent): Promise<void> {
  await nextTurn();
  const fails = data.fails === true && !failedOnce.delete(id);
  if (fails) failedOnce.add(id);
  heard.push([id, fails]);
  if (fails) throw new Error("It is to fail.");
}

const troubles: string[] = [];
process.on("warning", (warning) => troubles.push(String(warning)));
process.on("unhandledRejection", (reason) => troubles.push(`unhandled rejection: ${reason}`));

const claims = memoryClaims({ max });
const toloka = tolokaWebhook(secret, {
  claims,
  maxBodySize,
  concurrency: 4,
  timeout: 10,
  detectStale: true,
});
const prolific = prolificWebhook(secret, { claims, maxBodySize });
toloka.onAny(listener);
toloka.onError(() => {});
prolific.onAny(listener);
prolific.onError(() => {});

const server = http.createServer(
  {
    requestTimeout,
    headersTimeout: requestTimeout,
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: 60_000,
  },
  express().use(toloka, prolific),
);
const sockets = new Set<Socket>();
server.on("connection", (socket: Socket) => {
  sockets.add(socket.once("close", () => sockets.delete(socket)));
});

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
let used = process.cpuUsage();

async function report(): Promise<Report> {
  // Read before the garbage collection, which takes CPU time.
  const lag = delay.percentile(99) / 1e6;
  const { user, system } = process.cpuUsage(used);
  globalThis.gc?.();
  await nextTurn();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const said = heard;
  heard = [];
  used = process.cpuUsage();
  delay.reset();
  return {
    heard: said,
    rss,
    heap: heapUsed,
    external,
    sockets: sockets.size,
    resources,
    lag,
    cpu: (user + system) / 1000,
    troubles,
  };
}

process.on("message", async (ask: Ask) => {
  if (ask === "close") {
    await Promise.all([toloka.receiver.close(), prolific.receiver.close()]);
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    for (let turn = 0; turn < 100 && sockets.size > 0; turn++) await nextTurn();
  }
  process.send?.(await report());
});
process.on("disconnect", () => process.exit());
server.listen({ port: 0, host: "127.0.0.1" }, () => process.send?.((server.address() as AddressInfo).port));
