import type { EngineContext, QueueEngine } from "@crowdhook/core/sink";
import type { RedisOptions } from "ioredis";
import { type Connection, connect } from "./connection.js";
import { createQueues } from "./queues.js";
import { createRequests } from "./requests.js";
import { type BullmqWorker, startWorker } from "./worker.js";

/**
 * The time limit for storing a delivery, and for a replay. Each event of the delivery adds a millisecond. Below
 * the 3 s of `accept`, which grow in the same way, so that the error names the cause.
 */
const ANSWER_MS = 2_500;
/** The time limit for listing failed events. */
const LISTING_MS = 30_000;
/** A connection without an answer for so long is dead. BullMQ's longest blocking command takes 10 s. */
const SILENCE_MS = 15_000;

/** Runs durable sinks on BullMQ. */
export function createBullmqEngine(context: EngineContext, target: string | RedisOptions): QueueEngine {
  const connections: Connection[] = [];
  const workers: BullmqWorker[] = [];
  const queues = createQueues(context);

  function open(options: RedisOptions): Connection {
    const connection = connect(target, { ...options, socketTimeout: SILENCE_MS }, context.reportUnreachable);
    connections.push(connection);
    return connection;
  }

  // While Redis is away, requests fail at once: nobody would wait for the answer to a queued one.
  const request = createRequests(
    () => open({ enableOfflineQueue: false, maxRetriesPerRequest: 0 }),
    context.codeOf,
  );

  return {
    store: (provider, events) =>
      request(ANSWER_MS + events.length, (connection) => queues.store(connection, provider, events)),

    work(provider, run, concurrency) {
      // Unlike requests, a worker's commands wait until Redis is back.
      const { client } = open({ enableOfflineQueue: true, maxRetriesPerRequest: null });
      const worker = startWorker(context, client, provider, run, concurrency);
      workers.push(worker);
      return worker;
    },

    failed: (limit) => request(LISTING_MS, ({ client }) => queues.failed(client, limit)),

    replay: (provider, key) => request(ANSWER_MS, ({ client }) => queues.replay(client, provider, key)),

    discard: (provider, key) => request(ANSWER_MS, ({ client }) => queues.discard(client, provider, key)),

    latestOccurrence: (key) => request(ANSWER_MS, ({ client }) => queues.latestOccurrence(client, key)),

    recordOccurrence: (key, time) =>
      request(ANSWER_MS, ({ client }) => queues.recordOccurrence(client, key, time)),

    // A request waits until the connection is ready.
    ready: () => request(LISTING_MS, async ({ client }) => void (await client.ping())),

    async close() {
      await Promise.all(connections.map((connection) => connection.end()));
      await Promise.all(workers.map((worker) => worker.closed()));
    },
  };
}
