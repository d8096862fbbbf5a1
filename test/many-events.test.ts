import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ReceiverOptions } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { pgBossSink } from "@crowdhook/pg-boss";
import { redisClaims } from "@crowdhook/redis";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const SECRET = "12345";
/** The largest number of events that a receiver accepts in one delivery by default. */
const COUNT = 10_000;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  vi.restoreAllMocks();
});
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});

/** Delivers 10,000 events, and again. Returns the contents of both replies. */
async function deliverTwice(options: ReceiverOptions) {
  const receiver = createReceiver(toloka, { secret: SECRET, ...options });
  receiver.onAny(() => {});
  const events = Array.from({ length: COUNT }, () => tolokaEvent("POOL_CLOSED"));
  const contents: unknown[] = [];
  for (let times = 0; times < 2; times++) {
    const reply = await receiver.handle(signToloka({ secret: SECRET, events }));
    contents.push(JSON.parse(reply.body));
  }
  return contents;
}

const ONCE = [{ handled: COUNT }, { handled: 0, duplicate: COUNT }];

function opened(sink: DurableSink): DurableSink {
  closing.push(() => sink.close());
  return sink;
}

const noRedis = redisMissing();
describe.skipIf(noRedis)(`a delivery of ${COUNT} events ${noRedis ?? ""}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await redisServer();
  });
  afterAll(() => server?.close());

  test("is claimed and settled in Redis, with ioredis", { timeout: 60_000 }, async () => {
    const redis = new Redis(server.url);
    closing.push(() => redis.disconnect());
    const claims = redisClaims({
      prefix: "ioredis:",
      sendCommand: (command, ...args) => redis.call(command, ...args),
    });
    expect(await deliverTwice({ claims })).toMatchObject(ONCE);
  });

  test("is claimed and settled in Redis, with node-redis", { timeout: 60_000 }, async () => {
    const client = await createClient({ url: server.url }).connect();
    closing.push(() => client.destroy());
    const claims = redisClaims({ prefix: "node-redis:", sendCommand: (...args) => client.sendCommand(args) });
    expect(await deliverTwice({ claims })).toMatchObject(ONCE);
  });

  test("is stored by bullmqSink", { timeout: 60_000 }, async () => {
    const sink = opened(bullmqSink({ connection: server.url, queue: "many" }));
    expect(await deliverTwice({ sink })).toMatchObject(ONCE);
  });
});

test(`a delivery of ${COUNT} events is stored by pgBossSink on PGlite`, { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "crowdhook-many-"));
  closing.push(() => rm(directory, { recursive: true }));
  const sink = opened(pgBossSink({ dataDir: join(directory, "data") }));
  expect(await deliverTwice({ sink })).toMatchObject(ONCE);
});

const noPostgres = postgresMissing();
describe.skipIf(noPostgres)(`a delivery of ${COUNT} events ${noPostgres ?? ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await postgresServer();
  }, 60_000);
  afterAll(() => server?.close());

  test("is stored by pgBossSink on PostgreSQL", { timeout: 60_000 }, async () => {
    const sink = opened(pgBossSink({ connection: server.url, schema: "many" }));
    expect(await deliverTwice({ sink })).toMatchObject(ONCE);
  });
});
