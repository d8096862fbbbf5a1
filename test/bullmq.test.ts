import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type BullmqSinkOptions, bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ReceivedEvent } from "@crowdhook/core";
import { durableSinkChecks } from "@crowdhook/core/conformance";
import { prolific } from "@crowdhook/core/prolific";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { accept, closing, eventOf, failedOf, open, PATIENCE, SECRET, work } from "./bullmq-sinks.js";
import { freePort, type RedisServer, redisMissing, redisServer } from "./redis-server.js";

const children: ChildProcess[] = [];

/** Starts a worker process whose listener never ends. It prints the id and attempt of each event. */
function startWorker(options: BullmqSinkOptions): ChildProcess {
  const script = `
    import { bullmqSink } from "@crowdhook/bullmq";
    import { createReceiver } from "@crowdhook/core";
    import { toloka } from "@crowdhook/core/toloka";
    const receiver = createReceiver(toloka, { secret: "unused" });
    receiver.onAny(({ id }, { attempt }) => {
      console.log(id, attempt);
      return new Promise(() => {});
    });
    bullmqSink(JSON.parse(process.argv[1])).work(receiver);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, JSON.stringify(options)], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

/** Kills a worker at its first event. Resolves with the line that it printed. */
async function killOnceBegun(child: ChildProcess): Promise<string> {
  const [line] = await once(child.stdout as NodeJS.ReadableStream, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  return String(line).trim();
}
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

const missing = redisMissing();
if (missing) console.warn(missing);

describe.skipIf(missing)(`bullmqSink ${missing ?? ""}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await redisServer();
  });
  afterAll(() => server?.close());

  describe("meets the conformance checks", () => {
    const queue = `checks_${randomUUID().replaceAll("-", "")}`;
    test.each(durableSinkChecks)("$name", ({ check }) =>
      check({ open: () => bullmqSink({ connection: server.url, queue, attempts: 3, backoff: 1 }) }),
    );
  });

  test("events with any id are stored, listed and replayed", async () => {
    const sink = open({ connection: server.url });
    const ids = [
      "0",
      "123",
      "-1",
      "meta",
      "wait",
      "id",
      "a:b",
      "a:b:c",
      ":",
      "ü\u0000\n☃",
      "\ud800",
      "\udc00",
    ];
    ids.push("x".repeat(255), "☃".repeat(255), " ", "toloka:1", "../..", "event-", `random-${randomUUID()}`);
    await accept(sink, ...ids.map((id) => eventOf(id)));
    await accept(sink, ...ids.map((id) => eventOf(id)));
    const { handles } = work(sink, () => {
      throw new Error("no");
    });
    await handles(3 * ids.length);
    const failed = await failedOf(sink, ids.length);
    expect(failed.map(({ event }) => event.id).sort()).toEqual([...ids].sort());
    expect(failed.map(({ id }) => id).sort()).toEqual(ids.map((id) => `toloka:${id}`).sort());
    const replayed = await Promise.all(failed.map(({ id }) => sink.replay(id)));
    expect(replayed).toEqual(ids.map(() => true));
  });

  test("events without an id are stored separately and can be replayed", async () => {
    const sink = open({ connection: server.url, attempts: 1 });
    const nameless = { ...eventOf(""), type: "", problems: ["type: expected string"] } as ReceivedEvent;
    await accept(sink, nameless, nameless);
    const receiver = createReceiver(toloka, { secret: SECRET });
    receiver.onError(() => {});
    sink.work(receiver);
    const failed = await failedOf(sink, 2);
    expect(failed[0]?.id).not.toBe(failed[1]?.id);
    expect(failed[0]?.event).toMatchObject({ id: "", type: "", problems: ["type: expected string"] });
    expect(await sink.replay(failed[0]?.id ?? "")).toBe(true);
  });

  test("replay queues an event once, however many callers ask, with all its attempts", async () => {
    const sink = open({ connection: server.url, attempts: 2 });
    await accept(sink, eventOf("a"));
    const { handles } = work(sink, () => {
      throw new TypeError("broken");
    });
    await failedOf(sink, 1);
    const answers = await Promise.all(Array.from({ length: 5 }, () => sink.replay("toloka:a")));
    expect(answers.filter(Boolean)).toHaveLength(1);
    expect((await handles(4)).map(({ attempt }) => attempt)).toEqual([1, 2, 1, 2]);
    expect(await failedOf(sink, 1)).toMatchObject([{ error: "TypeError: broken", attempts: 2 }]);
    for (const id of ["", ":", "a", "toloka", "toloka:", "nobody:a", "toloka:wait", "toloka/wait"])
      expect(await sink.replay(id)).toBe(false);
  });

  test("failed lists the events of all providers, oldest failure first", async () => {
    const sink = open({ connection: server.url, attempts: 1 });
    const broken = () => {
      throw new Error("broken");
    };
    const ofToloka = createReceiver(toloka, { secret: SECRET, sink });
    const ofProlific = createReceiver(prolific, { secret: SECRET, sink });
    ofToloka.onAny(broken);
    ofToloka.onError(() => {});
    sink.work(ofToloka);
    ofProlific.onAny(broken);
    ofProlific.onError(() => {});
    sink.work(ofProlific);
    const ids: unknown[] = [];
    for (const round of [1, 2]) {
      const event = tolokaEvent("POOL_CLOSED");
      expect((await ofToloka.handle(signToloka({ secret: SECRET, events: [event] }))).status).toBe(200);
      await failedOf(sink, 2 * round - 1);
      const submission = prolificEvent("submission.status.change", { resource_id: `submission-${round}` });
      expect((await ofProlific.handle(signProlific({ secret: SECRET, event: submission }))).status).toBe(200);
      ids.push(event.uuid, `submission-${round}`);
      await failedOf(sink, 2 * round);
    }
    const subject = ({ event }: { event: ReceivedEvent }) =>
      event.provider === "toloka" ? event.id : (event.data as { resource_id: string }).resource_id;
    expect((await sink.failed()).map(subject)).toEqual(ids);
    expect((await sink.failed(3)).map(subject)).toEqual(ids.slice(0, 3));
    await expect(sink.failed(0)).rejects.toThrow(TypeError);
    expect(() => sink.work(ofToloka)).toThrow(/already works for a receiver of toloka/);
  });

  test("the job stores a listener's progress, and no stack", async () => {
    const queue = `test_${randomUUID().replaceAll("-", "")}`;
    const sink = open({ connection: server.url, queue, attempts: 1 });
    await accept(sink, eventOf("a"));
    work(sink, async (_event, { progress }) => {
      await progress?.({ page: 3 });
      throw new Error("broken");
    });
    await failedOf(sink, 1);
    const jobs = new Queue(`${queue}-toloka`, { connection: { url: server.url } });
    closing.push(() => jobs.close());
    const [job] = await jobs.getFailed();
    expect(job).toMatchObject({ progress: { page: 3 }, failedReason: "Error: broken", stacktrace: [] });
  });

  test("an event of a newer release is retried, then listed as failed", async () => {
    const queue = `test_${randomUUID().replaceAll("-", "")}`;
    const sink = open({ connection: server.url, queue });
    await accept(sink, eventOf("a"));
    const jobs = new Queue(`${queue}-toloka`, { connection: { url: server.url } });
    closing.push(() => jobs.close());
    const [job] = await jobs.getWaiting();
    await job?.updateData({ ...job.data, v: 2 });
    const { handled } = work(sink);
    const [failed] = await failedOf(sink, 1);
    expect(failed).toMatchObject({ attempts: 3, event: { type: "POOL_CLOSED", data: { v: 2, id: "a" } } });
    expect(failed?.error).toMatch(/^TypeError: A newer release stored/);
    expect(handled).toEqual([]);
    await jobs.getJob(job?.id ?? "").then((job) => job?.updateData({ ...job.data, v: 1 }));
    expect(await sink.replay(failed?.id ?? "")).toBe(true);
    await vi.waitFor(() => expect(handled).toEqual([{ id: "a", attempt: 1 }]), PATIENCE);
  });

  test("another worker handles an event whose worker was killed", async () => {
    const options = {
      connection: server.url,
      queue: `test_${randomUUID().replaceAll("-", "")}`,
      attempts: 3,
      lease: 1,
    };
    const sink = open(options);
    await accept(sink, eventOf("a"));
    expect(await killOnceBegun(startWorker(options))).toBe("a 1");
    const begin = performance.now();
    expect(await work(sink).handles(1)).toEqual([{ id: "a", attempt: 2 }]);
    console.log(
      `lease of 1 s: another worker handled the event ${Math.round(performance.now() - begin)} ms after the kill`,
    );
  });

  test("an event that kills its worker at every attempt is kept as failed", async () => {
    const options = {
      connection: server.url,
      queue: `test_${randomUUID().replaceAll("-", "")}`,
      attempts: 3,
      lease: 1,
    };
    const sink = open(options);
    await accept(sink, eventOf("poison"));
    for (const attempt of [1, 2, 3])
      expect(await killOnceBegun(startWorker(options))).toBe(`poison ${attempt}`);
    await accept(sink, eventOf("sound"));
    const { handles } = work(sink);
    expect(await handles(1)).toEqual([{ id: "sound", attempt: 1 }]);
    expect(await failedOf(sink, 1)).toMatchObject([
      { id: "toloka:poison", attempts: 3, error: expect.stringMatching(/worker ended/) },
    ]);
    expect(await sink.replay("toloka:poison")).toBe(true);
    expect((await handles(2))[1]).toEqual({ id: "poison", attempt: 1 });
  });

  test("the signal aborts when the worker has lost its lock", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const queue = `test_${randomUUID().replaceAll("-", "")}`;
    const sink = open({ connection: server.url, queue });
    await accept(sink, eventOf("a"));
    const aborted = new Promise<void>((resolve) => {
      work(sink, async (_event, { signal, attempt }) => {
        if (attempt !== 1) return;
        const redis = new Redis(server.url);
        for (const key of await redis.keys(`bull:${queue}-toloka:*:lock`)) await redis.del(key);
        redis.disconnect();
        await once(signal, "abort");
        resolve();
      });
    });
    await aborted;
  });

  test("the sink opens no connection before its first use, and rejects all calls after close", async () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const unused = open({ connection: `redis://127.0.0.1:${await freePort()}` });
    await unused.close();
    await unused.close();
    expect(error).not.toHaveBeenCalled();
    await expect(accept(unused, eventOf("a"))).rejects.toThrow("closed");
    await expect(unused.failed()).rejects.toThrow("closed");
    expect(() => work(unused)).toThrow("closed");
  });
});

test.each([
  [undefined, /connection/],
  ["localhost:6379", /connection/],
  [null, /connection/],
])("bullmqSink throws for the connection %s", (connection, message) => {
  expect(() => bullmqSink({ connection: connection as never })).toThrow(message);
});

test("bullmqSink throws for a lease that is a fraction", () => {
  expect(() => bullmqSink({ connection: "redis://localhost", lease: 0.5 })).toThrow(/lease/);
});
