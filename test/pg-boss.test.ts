import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createReceiver, type ListenerContext, type ReceivedEvent } from "@crowdhook/core";
import { durableSinkChecks } from "@crowdhook/core/conformance";
import { prolific } from "@crowdhook/core/prolific";
import type { DurableSink } from "@crowdhook/core/sink";
import { prolificEvent, signProlific, signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer } from "./postgres-server.js";

const SECRET = "12345";
const PASSWORD = "s3same";
const PATIENCE = { timeout: 60_000, interval: 20 };

const sinks: DurableSink[] = [];
afterEach(async () => {
  await Promise.all(sinks.splice(0).map((sink) => sink.close()));
});

/** Creates a sink with three attempts and one second of backoff. */
function open(options: PgBossSinkOptions): DurableSink {
  const sink = pgBossSink({ attempts: 3, backoff: 1, ...options });
  sinks.push(sink);
  return sink;
}

async function deliver(sink: DurableSink, ...events: object[]) {
  const receiver = createReceiver(toloka, { secret: SECRET, sink });
  const { status, body } = await receiver.handle(signToloka({ secret: SECRET, events }));
  return { status, code: JSON.parse(body).code };
}

/** Starts a worker and records the ids of the events that it handles. */
function work(
  sink: DurableSink,
  listener: (event: ReceivedEvent, context: ListenerContext) => unknown = () => {},
) {
  const handled: string[] = [];
  const receiver = createReceiver(toloka, { secret: SECRET });
  receiver.onAny((event, context) => {
    handled.push(event.id);
    return listener(event, context);
  });
  receiver.onError(() => {});
  sink.work(receiver, { concurrency: 4 });
  return handled;
}

describe("pgBossSink on PGlite", () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "crowdhook-pglite-"));
  });
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  test.each(durableSinkChecks)("$name", async ({ check }) => {
    await check({ open: () => pgBossSink({ attempts: 3, backoff: 1, dataDir }) });
  });

  test("a worker of another sink on the folder is woken without a statement", async () => {
    const [web, worker] = [open({ dataDir }), open({ dataDir })];
    await web.ready();
    const statements = vi.spyOn(PGlite.prototype, "query");
    const notifying = () => statements.mock.calls.filter(([text]) => /pg_notify\(/.test(text));
    const handled = work(worker);
    // The worker polls every three seconds. So ten events one after another would take much longer.
    const begun = performance.now();
    for (let count = 1; count <= 10; count++) {
      await deliver(web, tolokaEvent("POOL_CLOSED"));
      await vi.waitFor(() => expect(handled).toHaveLength(count), PATIENCE);
    }
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(statements).toHaveBeenCalled();
    expect(notifying()).toEqual([]);
  }, 60_000);

  test("more than ten sinks share the folder without a warning of Node", async () => {
    const warned = vi.spyOn(process, "emitWarning");
    for (let i = 0; i < 11; i++) await open({ dataDir }).ready();
    expect(warned.mock.calls.filter(([warning]) => /MaxListeners/.test(String(warning)))).toEqual([]);
    warned.mockRestore();
  });

  test("a second process gets an error while the folder is in use, and opens it afterwards", async () => {
    const first = open({ dataDir });
    expect(await deliver(first, tolokaEvent("POOL_CLOSED"))).toMatchObject({ status: 200 });
    const program = `
      import { pgBossSink } from "@crowdhook/pg-boss";
      const sink = pgBossSink({ dataDir: process.argv[1] });
      console.log(await sink.failed().then((failed) => failed.length, (error) => error.message));
      await sink.close();`;
    const second = async () => {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--input-type=module", "-e", program, dataDir],
        { cwd: import.meta.dirname },
      );
      return stdout.trim();
    };
    expect(await second()).toMatch(/^Another process uses .*Only one process can use a dataDir/);
    await first.close();
    expect(await second()).toBe("0");
  }, 90_000);
});

const missing = postgresMissing("own");
if (missing) console.warn(missing);

describe.skipIf(missing)(`pgBossSink on PostgreSQL ${missing ?? ""}`, () => {
  let server: PostgresServer;
  let options: { connection: string; schema: string };
  const sql = async (text: string, ...values: unknown[]) => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  };

  beforeAll(async () => {
    server = await postgresServer("own");
  });
  afterAll(() => server?.close());
  beforeEach(() => {
    options = { connection: server.url, schema: `test_${randomUUID().replaceAll("-", "")}` };
  });

  test.each(durableSinkChecks)("$name", async ({ check }) => {
    await check({ open: () => pgBossSink({ attempts: 3, backoff: 1, ...options }) });
  });

  test("PostgreSQL notifies a worker of an event that another process stored", async () => {
    const [web, worker] = [open(options), open(options)];
    await web.ready();
    const handled = work(worker);
    await vi.waitFor(
      async () =>
        expect(await sql("SELECT 1 AS one FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")).toHaveLength(2),
      PATIENCE,
    );
    // The worker polls every three seconds. So ten events one after another would take much longer.
    const begun = performance.now();
    for (let count = 1; count <= 10; count++) {
      await deliver(web, tolokaEvent("POOL_CLOSED"));
      await vi.waitFor(() => expect(handled).toHaveLength(count), PATIENCE);
    }
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("the worker renews the lease while a slow listener runs", async () => {
    const sink = open({ ...options, lease: 1 });
    const other = open({ ...options, lease: 1 });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const signals: AbortSignal[] = [];
    const handled = [sink, other].map((each) =>
      work(each, (_event, { signal }) => {
        signals.push(signal);
        return held;
      }),
    );
    await deliver(sink, tolokaEvent("POOL_CLOSED"));
    await vi.waitFor(() => expect(handled.flat()).toHaveLength(1), PATIENCE);
    const renewed = async () =>
      Number((await sql(`SELECT heartbeat_on FROM ${options.schema}.job`))[0]?.heartbeat_on);
    const first = await renewed();
    // The worker renews the lease for more than twice its length.
    await vi.waitFor(async () => expect(await renewed()).toBeGreaterThan(first + 2_500), PATIENCE);
    expect(handled.flat()).toHaveLength(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    release();
    await vi.waitFor(
      async () =>
        expect(await sql(`SELECT state FROM ${options.schema}.job`)).toEqual([{ state: "completed" }]),
      PATIENCE,
    );
  });

  test("the signal aborts when another worker takes over, and the late failure changes nothing", async () => {
    const sink = open({ ...options, lease: 1 });
    const reasons: unknown[] = [];
    const handled = work(sink, (_event, { signal, attempt }) =>
      attempt === 1
        ? new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              reasons.push(signal.reason);
              reject(new Error("too late"));
            });
          })
        : undefined,
    );
    await deliver(sink, tolokaEvent("POOL_CLOSED"));
    await vi.waitFor(() => expect(handled).toHaveLength(1), PATIENCE);
    // pg-boss does this when a lease expires.
    await sql(`UPDATE ${options.schema}.job SET state = 'retry', start_after = now() + interval '1 second'`);
    await vi.waitFor(() => expect(handled).toHaveLength(2), PATIENCE);
    expect(String(reasons)).toContain("another worker took over");
    await vi.waitFor(
      async () =>
        expect(await sql(`SELECT state, retry_count FROM ${options.schema}.job`)).toEqual([
          { state: "completed", retry_count: 1 },
        ]),
      PATIENCE,
    );
    expect(await sink.failed()).toEqual([]);
  });

  test("a delivery gets 503 after the queue was removed, and the next one creates it again", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const sink = open(options);
    expect(await deliver(sink, tolokaEvent("POOL_CLOSED"))).toMatchObject({ status: 200 });
    await sql(`DELETE FROM ${options.schema}.job`);
    await sql(`SELECT ${options.schema}.delete_queue('crowdhook-toloka')`);
    const event = tolokaEvent("POOL_CLOSED");
    expect(await deliver(sink, event)).toEqual({ status: 503, code: "SINK_UNAVAILABLE" });
    expect(await deliver(sink, event)).toMatchObject({ status: 200 });
    const handled = work(sink);
    await vi.waitFor(() => expect(handled).toEqual([event.uuid]), PATIENCE);
  });

  test("an event of a newer release is retried, then kept as failed", async () => {
    const sink = open({ ...options, attempts: 2 });
    await deliver(sink, tolokaEvent("POOL_CLOSED"));
    await sql(`UPDATE ${options.schema}.job SET data = '{"v": 2, "of": "the future"}'`);
    const handled = work(sink);
    const failed = await vi.waitFor(async () => {
      const all = await sink.failed();
      expect(all).toHaveLength(1);
      return all;
    }, PATIENCE);
    expect(failed[0]).toMatchObject({
      error: expect.stringContaining("A newer release stored this event"),
      attempts: 2,
      event: { data: { v: 2, of: "the future" } },
    });
    expect(handled).toEqual([]);
    expect(await sink.replay(failed[0]?.id ?? "")).toBe(true);
  });

  test("an error message of any characters is stored with the failed event", async () => {
    const sink = open({ ...options, attempts: 1 });
    const handled = work(sink, () => {
      throw new Error(`\0 \ud800 \ud83d\ude00 ${"long ".repeat(10_000)}`);
    });
    await deliver(sink, tolokaEvent("POOL_CLOSED"));
    const failed = await vi.waitFor(async () => {
      const all = await sink.failed();
      expect(all).toHaveLength(1);
      return all;
    }, PATIENCE);
    expect(failed[0]?.error).toMatch(/^Error: \ufffd \ufffd \ud83d\ude00 long /u);
    expect(handled).toHaveLength(1);
  });

  test("one sink serves two providers", async () => {
    const sink = open(options);
    const ofProlific: string[] = [];
    const receiver = createReceiver(prolific, { secret: SECRET, sink });
    receiver.onAny(({ id }) => ofProlific.push(id));
    const ofToloka = work(sink);
    sink.work(receiver);
    const event = prolificEvent("study.progress.change");
    await receiver.handle(signProlific({ secret: SECRET, event, id: "the same" }));
    await deliver(sink, tolokaEvent("POOL_CLOSED", { uuid: "the same" }));
    await vi.waitFor(() => expect([ofToloka, ofProlific]).toEqual([["the same"], ["the same"]]), PATIENCE);
  });

  test("four sinks that create the queue at the same time store all events", async () => {
    const opened = Array.from({ length: 4 }, () => open(options));
    const events = Array.from({ length: 80 }, () => tolokaEvent("POOL_CLOSED"));
    const replies = await Promise.all(events.map((event, i) => deliver(opened[i % 4] as DurableSink, event)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(await sql(`SELECT count(*)::int FROM ${options.schema}.job`)).toEqual([{ count: 80 }]);
  });

  describe("while the server is unreachable", () => {
    const SOON_MS = 4_000;
    /** Each `leave` starts an outage and returns the function that ends it. */
    const ways = [
      { way: "stopped", leave: () => server.control?.kill().then(() => server.control?.start) },
      { way: "frozen", leave: () => server.control?.freeze() },
    ];

    test.each(ways)(
      "deliveries get 503 within 4 seconds while the server is $way, and the sink recovers by itself",
      async ({ leave }) => {
        const log = vi.spyOn(console, "error").mockImplementation(() => {});
        const connection = server.url.replace("crowdhook@", `crowdhook:${PASSWORD}@`);
        const sink = open({ ...options, connection });
        const handled = work(sink);
        const [before, during] = [tolokaEvent("POOL_CLOSED"), tolokaEvent("POOL_CLOSED")];
        expect(await deliver(sink, before)).toMatchObject({ status: 200 });
        await vi.waitFor(() => expect(handled).toEqual([before.uuid]), PATIENCE);
        const back = await leave();
        const asked = performance.now();
        expect(await deliver(sink, during)).toEqual({ status: 503, code: "SINK_UNAVAILABLE" });
        expect(performance.now() - asked).toBeLessThan(SOON_MS);
        await back?.();
        await vi.waitFor(
          async () => expect(await deliver(sink, during)).toMatchObject({ status: 200 }),
          PATIENCE,
        );
        await vi.waitFor(() => expect(new Set(handled)).toEqual(new Set([before.uuid, during.uuid])), {
          timeout: 240_000,
          interval: 20,
        });
        const logged = log.mock.calls.join("\n");
        expect(logged).toContain("SINK_UNAVAILABLE");
        for (const secret of [PASSWORD, "127.0.0.1"]) expect(logged).not.toContain(secret);
      },
      240_000,
    );

    test("deliveries get 503 and close ends while the server is down from the start; the sink recovers once it runs", async () => {
      vi.spyOn(console, "error").mockImplementation(() => {});
      await server.control?.kill();
      const sink = open(options);
      const handled = work(sink);
      const event = tolokaEvent("POOL_CLOSED");
      expect(await deliver(sink, event)).toEqual({ status: 503, code: "SINK_UNAVAILABLE" });
      const never = open(options);
      work(never);
      await never.close();
      await server.control?.start();
      await vi.waitFor(
        async () => expect(await deliver(sink, event)).toMatchObject({ status: 200 }),
        PATIENCE,
      );
      await vi.waitFor(() => expect(handled).toEqual([event.uuid]), PATIENCE);
    });
  });
});
