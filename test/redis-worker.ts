/**
 * One web process of redis-processes.test.ts. It prints its port, answers until SIGTERM, and records
 * what it does in a journal file.
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
  /** The shortest and the longest duration of a listener, in milliseconds. */
  readonly takes: readonly [number, number];
  /** The share of listener calls that fail, from 0 to 1. */
  readonly failing: number;
  /** Replaces the receiver's lease, in milliseconds. It expires before the receiver would renew it. */
  readonly lease?: number;
  /** Whether the client queues commands while Redis is unreachable. Default true, as in ioredis. */
  readonly offlineQueue?: boolean;
}

/** "accepted" notes a request by its query. The others note an event by its id. */
export type Note = "accepted" | "begun" | "succeeded" | "failed" | "settled";

const options: WorkerOptions = JSON.parse(process.argv[2] ?? "");
const random = seededRandom(options.seed);

const journal = openSync(options.journal, "a");
/** Writes synchronously, so that the line survives a SIGKILL. */
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
    throw new Error("This call was chosen to fail.");
  }
  note("succeeded", id);
});

/** Replies that are not completely written. */
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
  // New requests on a keep-alive connection would keep the process running.
  for (const response of replies) if (!response.headersSent) response.setHeader("connection", "close");
  await webhook.receiver.close();
  server.close(() => redis.disconnect());
  for (const response of replies) await once(response, "close");
  // These connections are idle.
  server.closeAllConnections();
});
