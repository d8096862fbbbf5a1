import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { bullmqSink } from "@crowdhook/bullmq";
import { type ClaimStore, memoryClaims } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { pgBossSink } from "@crowdhook/pg-boss";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";
import { useRecovery } from "./recovery-fixture.js";
import { clock, factsAt, factsOf } from "./recovery-platforms.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const PATIENCE = { timeout: 100_000, interval: 50 };

const { platforms, closing, loseDeliveries } = await useRecovery();

const missing = redisMissing("own");
const noPostgres = postgresMissing();
for (const reason of new Set([missing, noPostgres])) if (reason) console.warn(reason);
let postgres: PostgresServer;
let redis: RedisServer;
let folder: string;
/** Makes the names of the queues unique, also on a server that the tests did not start. */
let queues = Date.now();
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "crowdhook-recover-"));
  if (!missing) redis = await redisServer("own");
  if (!noPostgres) postgres = await postgresServer();
});
afterAll(async () => {
  await redis?.close();
  await postgres?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Engine {
  open(queue: string): DurableSink;
  /** Returns a claim store. All processes with this engine share it. */
  claims(): ClaimStore;
}

const bullmq: Engine = {
  open: (queue) => bullmqSink({ connection: redis.url, queue }),
  claims() {
    const client = new Redis(redis.url);
    closing.push(() => client.disconnect());
    return redisClaims({
      sendCommand: (command, ...args) => client.call(command, ...args) as never,
      prefix: `claims-${queues}:`,
    });
  },
};
const pglite: Engine = {
  open: (queue) => pgBossSink({ dataDir: path.join(folder, queue) }),
  claims: () => memoryClaims({ clock }),
};
const postgresql: Engine = {
  open: (queue) => pgBossSink({ connection: postgres.url, queue }),
  claims: () => memoryClaims({ clock }),
};

describe.each([
  ...(missing ? [] : [["BullMQ and Redis claims", bullmq] as const]),
  ["pg-boss on PGlite and claims in memory", pglite] as const,
  ...(noPostgres ? [] : [["pg-boss on PostgreSQL and claims in memory", postgresql] as const]),
])("%s", (_, { open, claims: openClaims }) => {
  function setUp() {
    const sink = open(`recovery${++queues}`);
    closing.push(() => sink.close());
    return { sink, claims: openClaims() };
  }

  test.each([
    ["prolific", "the claims are kept", true],
    ["toloka", "the claims are kept", true],
    ["toloka", "the claims are lost, because the queue knows the facts", false],
  ] as const)(
    "%s: every event that was lost is stored and handled once if %s",
    async (name, _, keepsClaims) => {
      const { sink, claims } = setUp();
      const { api, client } = platforms[name];
      const { handled, receiver } = await loseDeliveries(
        name,
        { sink, claims },
        { sink, claims: keepsClaims ? claims : memoryClaims({ clock }) },
      );
      sink.work(receiver, { concurrency: 10 });
      const result = await client().recover(receiver);
      expect(result).toMatchObject({ status: "finished", failed: 0 });
      expect(result.duplicate > 0).toBe(keepsClaims);
      await vi.waitFor(() => expect(factsOf(handled)).toEqual(factsAt(api)), PATIENCE);
    },
  );
});
