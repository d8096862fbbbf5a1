/**
 * One web process of redis-processes.test.ts: prints its port, answers until SIGTERM, and writes down
 * what it does in a journal that outlives it.
 */
import { once } from "node:events";
import { appendFileSync, openSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { ClaimStore } from "@crowdhook/core";
import { tolokaWebhook } from "@crowdhook/node";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { seededRandom } from "./seeded-random.js";

export interface WorkerOptions {
  readonly redis: string;
  /** A file that all processes of a test append to. */
  readonly journal: string;
  readonly secret: string;
  readonly seed: number;
  /** How long a listener takes, in milliseconds: from, to. */
  readonly takes: readonly [number, number];
  /** How many listener calls fail, of one. */
  readonly failing: number;
  /** In place of the receiver's lease, in milliseconds. Nothing renews it then before it is over. */
  readonly lease?: number;
  /** Whether the client keeps commands back for a Redis that is away, as ioredis does by default. */
  readonly offlineQueue?: boolean;
}

/** "accepted" is of a request, by its query; all others of an event, by its id. */
export type Note = "accepted" | "begun" | "succeeded" | "failed" | "settled";

const options: WorkerOptions = JSON.parse(process.argv[2] ?? "");
const random = seededRandom(options.seed);

const journal = openSync(options.journal, "a");
/** Written to the file when it returns, so that no SIGKILL can take it back. */
function note(what: Note, of: string): void {
  appendFileSync(journal, `${what} ${of}\n`);
}

const redis = new Redis(options.redis, { enableOfflineQueue: options.offlineQueue ?? true });
// Without a listener ioredis prints every attempt to reconnect.
redis.on("error", () => {});
if (options.offlineQueue === false) await new Promise((resolve) => redis.once("ready", resolve));

const store = redisClaims({ sendCommand: (command, ...args) => redis.call(command, ...args) });
const claims: ClaimStore = {
  claim: (key, owner, lease) => store.claim(key, owner, options.lease ?? lease),
  async settle(key, owner, ttl) {
    const settled = await store.settle(key, owner, ttl);
    if (settled) note("settled", key.replace(/^toloka:/, ""));
    return settled;
  },
  release: (key, owner) => store.release(key, owner),
};

const webhook = tolokaWebhook(options.secret, { claims });
webhook.onAny(async ({ id }) => {
  note("begun", id);
  const [from, to] = options.takes;
  await delay(from + random() * (to - from));
  if (random() < options.failing) {
    note("failed", id);
    throw new Error("This call was picked to fail.");
  }
  note("succeeded", id);
});

/** Replies that are not written to their end. */
const replies = new Set<http.ServerResponse>();
let ending = false;

const server = http.createServer((request, response) => {
  note("accepted", String(request.url).replace(/^.*\?/, ""));
  replies.add(response.once("close", () => replies.delete(response)));
  if (ending) response.setHeader("connection", "close");
  void webhook(request, response);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

process.once("SIGTERM", async () => {
  ending = true;
  // A connection that is kept alive, with requests coming in on it, would hold the process for good.
  for (const response of replies) if (!response.headersSent) response.setHeader("connection", "close");
  await webhook.receiver.close();
  server.close(() => redis.disconnect());
  for (const response of replies) await once(response, "close");
  // Those on which nothing was asked.
  server.closeAllConnections();
});
