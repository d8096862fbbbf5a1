import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BullmqSinkOptions, bullmqSink } from "@crowdhook/bullmq";
import { createReceiver } from "@crowdhook/core";
import type { DurableSink } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { freePort, type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const SECRET = "12345";
const PATIENCE = { timeout: 20_000, interval: 20 };
/** The longest time from a failover to the first event of the new primary, in milliseconds. */
const HEALED_MS = 10_000;

const missing = redisMissing("own");
if (missing) console.warn(missing);

describe.skipIf(missing)(`bullmqSink after a failover ${missing ?? ""}`, () => {
  const closing: (() => unknown)[] = [];
  let primary: RedisServer;
  let replica: RedisServer;
  beforeEach(async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    primary = await redisServer("own");
    closing.push(() => primary.close());
    replica = await redisServer("own", "--replicaof", "127.0.0.1", portOf(primary));
    closing.push(() => replica.close());
    await vi.waitFor(async () => {
      expect(await command(replica, "info", "replication")).toContain("master_link_status:up");
    }, PATIENCE);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
    vi.restoreAllMocks();
  });

  function portOf(server: RedisServer): string {
    return String(server.control?.port);
  }

  async function command(server: RedisServer, name: string, ...args: string[]): Promise<unknown> {
    const client = new Redis(server.url);
    try {
      return await client.call(name, ...args);
    } finally {
      client.disconnect();
    }
  }

  /** Connects to the primary, and after `failOver` to the new one. Open connections stay with the old one. */
  async function startProxy(): Promise<{ url: string; failOver(): Promise<void> }> {
    let target = primary;
    const sockets = new Set<net.Socket>();
    const proxy = net.createServer((socket) => {
      const upstream = net.connect(Number(portOf(target)), "127.0.0.1");
      for (const each of [socket, upstream]) {
        sockets.add(each);
        each.on("error", () => {});
        each.on("close", () => {
          socket.destroy();
          upstream.destroy();
        });
      }
      socket.pipe(upstream).pipe(socket);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    closing.push(() => {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    });
    return {
      url: `redis://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`,
      async failOver() {
        target = replica;
        await command(replica, "replicaof", "no", "one");
        await command(primary, "replicaof", "127.0.0.1", portOf(replica));
      },
    };
  }

  function open(connection: BullmqSinkOptions["connection"]): DurableSink {
    const sink = bullmqSink({ connection, attempts: 3, backoff: 1, lease: 1 });
    closing.push(() => sink.close());
    return sink;
  }

  function work(sink: DurableSink, listener: (id: string) => unknown = () => {}) {
    const handled: string[] = [];
    const receiver = createReceiver(toloka, { secret: SECRET });
    receiver.on("POOL_CLOSED", async ({ id }) => {
      await listener(id);
      handled.push(id);
    });
    receiver.onError(() => {});
    sink.work(receiver);
    return handled;
  }

  /** Delivers an event until the reply is 200. Returns its id. */
  async function deliver(sink: DurableSink): Promise<string> {
    const event = tolokaEvent("POOL_CLOSED");
    const receiver = createReceiver(toloka, { secret: SECRET, sink });
    await vi.waitFor(async () => {
      const reply = await receiver.handle(signToloka({ secret: SECRET, events: [event] }));
      expect(reply.status).toBe(200);
    }, PATIENCE);
    return String(event.uuid);
  }

  const handledBy = (handled: readonly string[], id: string) =>
    vi.waitFor(() => expect(handled).toContain(id), PATIENCE);

  test("an idle worker handles events of the new primary while the old one stays up as a replica", async () => {
    const { url, failOver } = await startProxy();
    const [receiving, working] = [open(url), open(url)];
    const handled = work(working);
    await handledBy(handled, await deliver(receiving));
    await failOver();
    const begin = performance.now();
    await handledBy(handled, await deliver(receiving));
    expect(performance.now() - begin).toBeLessThan(HEALED_MS);
  });

  test("a worker whose listener ran during the failover handles events of the new primary", async () => {
    const { url, failOver } = await startProxy();
    const [receiving, working] = [open(url), open(url)];
    let finish = () => {};
    const started = vi.fn();
    const handled = work(working, (id) => {
      started(id);
      return started.mock.calls.length === 1 ? new Promise<void>((resolve) => (finish = resolve)) : undefined;
    });
    const running = await deliver(receiving);
    await vi.waitFor(() => expect(started).toHaveBeenCalledWith(running), PATIENCE);
    await failOver();
    const next = await deliver(receiving);
    finish();
    const begin = performance.now();
    await handledBy(handled, next);
    expect(performance.now() - begin).toBeLessThan(HEALED_MS);
    await handledBy(handled, running);
  });

  test("receiver and worker follow Redis Sentinel to the new primary", async () => {
    const folder = await mkdtemp(join(tmpdir(), "crowdhook-sentinel-"));
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "sentinel.conf");
    const port = await freePort();
    await writeFile(
      file,
      `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor primary 127.0.0.1 ${portOf(primary)} 1\n`,
    );
    const sentinel = spawn("redis-server", [file, "--sentinel"], { stdio: "ignore" });
    closing.push(() => sentinel.kill("SIGKILL"));
    const client = new Redis(port, "127.0.0.1");
    client.on("error", () => {});
    closing.push(() => client.disconnect());
    const ask = (...args: string[]) => client.call("sentinel", ...args);
    await vi.waitFor(async () => expect(await ask("replicas", "primary")).toHaveLength(1), PATIENCE);

    const connection = { sentinels: [{ host: "127.0.0.1", port }], name: "primary" };
    const [receiving, working] = [open(connection), open(connection)];
    const handled = work(working);
    await handledBy(handled, await deliver(receiving));
    await vi.waitFor(() => ask("failover", "primary"), PATIENCE);
    await vi.waitFor(async () => {
      expect(await ask("get-master-addr-by-name", "primary")).toEqual(["127.0.0.1", portOf(replica)]);
      expect(await command(primary, "info", "replication")).toContain("role:slave");
    }, PATIENCE);
    await handledBy(handled, await deliver(receiving));
    expect(await command(replica, "info", "replication")).toContain("role:master");
  });
});
