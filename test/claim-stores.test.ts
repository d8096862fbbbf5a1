import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClaimStoreUnderTest, claimStoreChecks } from "@crowdhook/core/conformance";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { tolokaWebhook } from "@crowdhook/fetch";
import { redisClaims } from "@crowdhook/redis";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const missing = redisMissing("own");
if (missing) console.warn(missing);

/** Shortens the time to live of all matching keys, because the clock of Redis cannot be set. */
async function age(redis: Redis, pattern: string, milliseconds: number): Promise<void> {
  for (const key of await redis.keys(pattern)) {
    const left = (await redis.pttl(key)) - milliseconds;
    if (left <= 0) await redis.del(key);
    else await redis.pexpire(key, left);
  }
}

describe.skipIf(missing)(`redisClaims ${missing ?? ""}`, () => {
  let server: RedisServer;
  let cluster: RedisServer;
  let redis: Redis;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    server = await redisServer();
    redis = new Redis(server.url);
    const dir = await mkdtemp(join(tmpdir(), "crowdhook-cluster-"));
    closing.push(() => rm(dir, { recursive: true }));
    cluster = await redisServer(
      "own",
      "--cluster-enabled",
      "yes",
      "--cluster-announce-ip",
      "127.0.0.1",
      "--dir",
      dir,
    );
    const node = new Redis(cluster.url);
    await node.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    await vi.waitFor(
      async () => expect(await node.call("CLUSTER", "INFO")).toContain("cluster_state:ok"),
      10_000,
    );
    node.disconnect();
  });
  afterAll(async () => {
    for (const close of closing.reverse()) await close();
    redis?.disconnect();
    await server?.close();
    await cluster?.close();
  });

  type Send = Parameters<typeof redisClaims>[0]["sendCommand"];
  const clients: [string, () => Promise<{ send: Send; redis: Redis }>][] = [
    ["ioredis", async () => ({ send: (command, ...args) => redis.call(command, ...args), redis })],
    [
      "node-redis",
      async () => {
        const client = await createClient({ url: server.url }).connect();
        closing.push(() => client.close());
        return { send: (...command) => client.sendCommand(command), redis };
      },
    ],
    [
      "a REST proxy like that of Upstash",
      async () => {
        const post = async (body: string): Promise<string> => {
          const [command, ...args] = JSON.parse(body) as [string, ...string[]];
          const answer = await redis.call(command, ...args).then(
            (result) => ({ result }),
            (error: Error) => ({ error: error.message }),
          );
          return JSON.stringify(answer);
        };
        const send: Send = async (...command) => {
          const { result, error } = JSON.parse(await post(JSON.stringify(command)));
          if (error) throw new Error(error);
          return result;
        };
        return { send, redis };
      },
    ],
    [
      "ioredis on a cluster",
      async () => {
        const { hostname, port } = new URL(cluster.url);
        const client = new Cluster([{ host: hostname, port: Number(port) }]);
        const node = new Redis(cluster.url);
        closing.push(
          () => client.disconnect(),
          () => node.disconnect(),
        );
        return { send: (command, ...args) => client.call(command, ...args), redis: node };
      },
    ],
    [
      "node-redis on a cluster",
      async () => {
        const client = createCluster({ rootNodes: [{ url: cluster.url }] });
        await client.connect();
        const node = new Redis(cluster.url);
        closing.push(
          () => client.close(),
          () => node.disconnect(),
        );
        return { send: (...command) => client.sendCommand(command[3], false, command), redis: node };
      },
    ],
  ];

  describe.each(clients)("through %s", (name, connect) => {
    const prefix = `test ${name} ${process.pid}:`;
    let underTest: ClaimStoreUnderTest;
    beforeAll(async () => {
      const { send, redis } = await connect();
      underTest = {
        store: redisClaims({ sendCommand: send, prefix }),
        advance: (milliseconds) => age(redis, `${prefix}*`, milliseconds),
      };
    });

    test.each(claimStoreChecks)("$name", ({ check }) => check(underTest), 5_000);
  });

  test("the store sends a script again if the server does not know it", async () => {
    const sent: string[] = [];
    const store = redisClaims({
      prefix: `forgotten ${process.pid}:`,
      sendCommand: (command, ...args) => {
        sent.push(command);
        return redis.call(command, ...args);
      },
    });
    await redis.call("SCRIPT", "FLUSH");
    expect(await store.claim("a", "me", 10_000)).toBe("won");
    expect(await store.claim("b", "me", 10_000)).toBe("won");
    expect(sent).toEqual(["EVALSHA", "EVAL", "EVALSHA"]);
  });

  test("an event takes one command to claim and one to settle, and a delivery claims all its events at once", async () => {
    const rounds: string[][] = [];
    let round: string[] | undefined;
    const claims = redisClaims({
      prefix: `counted ${process.pid}:`,
      async sendCommand(command, ...args) {
        if (round === undefined) {
          round = [];
          rounds.push(round);
        }
        round.push(command);
        const answer = await redis.call(command, ...args);
        round = undefined;
        return answer;
      },
    });
    const POST = tolokaWebhook("s", { claims });
    const deliver = (events: number) =>
      POST(
        new Request(
          "http://localhost/",
          signToloka({
            secret: "s",
            events: Array.from({ length: events }, () => tolokaEvent("POOL_CLOSED")),
          }),
        ),
      );
    await deliver(1);
    rounds.length = 0;
    expect((await deliver(1)).status).toBe(200);
    expect(rounds).toEqual([["EVALSHA"], ["EVALSHA"]]);
    rounds.length = 0;
    expect((await deliver(20)).status).toBe(200);
    expect(rounds[0]).toEqual(Array(20).fill("EVALSHA"));
    expect(rounds.flat()).toEqual(Array(40).fill("EVALSHA"));
  });

  test("stores with different prefixes are independent", async () => {
    const sendCommand: Send = (command, ...args) => redis.call(command, ...args);
    const one = redisClaims({ sendCommand, prefix: `one ${process.pid}:` });
    const two = redisClaims({ sendCommand, prefix: `two ${process.pid}:` });
    expect(await one.claim("k", "a", 10_000)).toBe("won");
    expect(await two.claim("k", "b", 10_000)).toBe("won");
  });
});

test("redisClaims without sendCommand throws and names the fix", () => {
  expect(() => redisClaims({} as never)).toThrow(/sendCommand.*redis\.call/);
});

test("redisClaims names the mistake when sendCommand is a method without its client", async () => {
  class Client {
    readonly #connection = { send: async () => "won" };
    call(): Promise<unknown> {
      return this.#connection.send();
    }
  }
  const { call } = new Client();
  const claims = redisClaims({ sendCommand: call as never });
  const failed = Promise.resolve(claims.claim("key", "owner", 1_000));
  await expect(failed).rejects.toMatchObject({
    code: "SEND_COMMAND_UNBOUND",
    message: expect.stringContaining("not the method"),
  });
});
