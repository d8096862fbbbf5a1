import { createDurableSink, type DurableSink, type QueueOptions } from "@crowdhook/core/sink";
import type { RedisOptions } from "ioredis";
import { codeOf } from "./connection.js";
import { createBullmqEngine } from "./engine.js";

export interface BullmqSinkOptions extends QueueOptions {
  /** Redis: a `redis://` or `rediss://` URL, or the options of ioredis' `Redis`. */
  readonly connection: string | RedisOptions;
}

/**
 * Creates a durable sink on BullMQ. Events are jobs in Redis, in one queue per provider. The sink
 * connects at its first use, not here.
 *
 * @throws TypeError for invalid options.
 */
export function bullmqSink(options: BullmqSinkOptions): DurableSink {
  const { connection } = options;
  const isUsable =
    typeof connection === "string" ? /^rediss?:\/\//.test(connection) : typeof connection === "object";
  if (!isUsable || connection === null) {
    // Without the value: it may hold a password.
    throw new TypeError(
      "bullmqSink takes { connection }: a URL such as redis://127.0.0.1:6379, or ioredis' options.",
    );
  }
  return createDurableSink(options, {
    name: "bullmq sink",
    server: "Redis",
    codeOf,
    createEngine: (context) => createBullmqEngine(context, connection),
  });
}
