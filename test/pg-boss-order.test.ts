import { randomUUID } from "node:crypto";
import { createReceiver, type ReceivedEvent } from "@crowdhook/core";
import { durableSinkChecks } from "@crowdhook/core/conformance";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSink, type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer, queryPostgres } from "./postgres-server.js";
import { seededRandom } from "./seeded-random.js";

const SECRET = "12345";
const PATIENCE = { timeout: 60_000, interval: 20 };
const missing = postgresMissing("own");
if (missing) console.warn(missing);

/** The key of these tests: the pool. */
const poolOf = (event: ReceivedEvent) => (event.data as { pool_id?: string }).pool_id;
const eventOf = (pool: string | undefined) => tolokaEvent("POOL_CLOSED", { pool_id: pool as string });

describe.skipIf(missing)(`pgBossSink with orderingKey ${missing ?? ""}`, () => {
  let server: PostgresServer;
  let options: PgBossSinkOptions;
  const sinks: PgBossSink[] = [];
  beforeAll(async () => {
    server = await postgresServer("own");
  }, 60_000);
  afterAll(() => server?.close());
  beforeEach(() => {
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    options = { connection: server.url, schema, attempts: 3, backoff: 1, orderingKey: poolOf };
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });

  function open(more: Partial<PgBossSinkOptions> = {}): PgBossSink {
    const sink = pgBossSink({ ...options, ...more });
    sinks.push(sink);
    return sink;
  }

  async function deliver(sink: PgBossSink, ...events: readonly object[]) {
    const receiver = createReceiver(toloka, { secret: SECRET, sink });
    const { status } = await receiver.handle(signToloka({ secret: SECRET, events }));
    expect(status).toBe(200);
  }

  function work(sink: PgBossSink, listener: (event: ReceivedEvent, attempt: number) => unknown) {
    const receiver = createReceiver(toloka, { secret: SECRET });
    receiver.onAny((event, { attempt = 0 }) => listener(event, attempt));
    receiver.onError(() => {});
    sink.work(receiver, { concurrency: 8 });
  }

  const sql = (text: string) => queryPostgres(server.url, text);

  test.each(durableSinkChecks)("$name", async ({ check }) => {
    await check({ open: () => pgBossSink({ ...options, orderingKey: () => undefined }) });
  });

  test("four workers handle the events of each key in order although attempts fail", async () => {
    const random = seededRandom(7);
    const [web, ...workers] = Array.from({ length: 5 }, () => open({ attempts: 20 })) as [PgBossSink];
    const sent = new Map<string, string[]>();
    for (let delivery = 0; delivery < 15; delivery++) {
      const events = Array.from({ length: 20 }, () => {
        const pool = `pool ${Math.floor(random() * 12)}`;
        const event = eventOf(pool);
        sent.set(pool, [...(sent.get(pool) ?? []), event.uuid]);
        return event;
      });
      await deliver(web, ...events);
    }
    const handled = new Map<string, string[]>();
    const running = new Set<string>();
    const overlaps: string[] = [];
    for (const sink of workers) {
      work(sink, async (event, attempt) => {
        const pool = poolOf(event) ?? "";
        if (running.has(pool)) overlaps.push(pool);
        running.add(pool);
        await new Promise((resolve) => setTimeout(resolve, random() * 3));
        running.delete(pool);
        if (attempt === 1 && random() < 0.02) throw new Error("chosen to fail");
        handled.set(pool, [...(handled.get(pool) ?? []), event.id]);
      });
    }
    await vi.waitFor(() => expect([...handled.values()].flat()).toHaveLength(300), PATIENCE);
    expect(overlaps).toEqual([]);
    for (const [pool, ids] of sent) expect(handled.get(pool)).toEqual(ids);
  }, 120_000);

  test("later deliveries of a key come after earlier ones although the server's clock went back", async () => {
    const sink = open();
    const events = [eventOf("p"), eventOf("p"), eventOf("p")];
    await deliver(sink, events[0] as object);
    await sql(`UPDATE ${options.schema}.job SET created_on = now() + interval '1 hour'`);
    await deliver(sink, ...events.slice(1));
    const handled: string[] = [];
    work(sink, ({ id }) => handled.push(id));
    await vi.waitFor(() => expect(handled).toEqual(events.map(({ uuid }) => uuid)), PATIENCE);
  }, 60_000);

  test("a failed event blocks its key, and only its key, until it is replayed or discarded", async () => {
    const sink = open({ attempts: 1 });
    const [poison, next, other, free] = [
      eventOf("blocked \0 key"),
      eventOf("blocked \0 key"),
      eventOf("q"),
      eventOf(undefined),
    ];
    await deliver(sink, poison, next, other, free);
    let broken = true;
    const handled: string[] = [];
    work(sink, ({ id }) => {
      if (broken && (id === poison.uuid || id === free.uuid)) throw new Error("broken");
      handled.push(id);
    });
    await vi.waitFor(async () => expect(await sink.failed()).toHaveLength(2), PATIENCE);
    await vi.waitFor(() => expect(handled).toEqual([other.uuid]), PATIENCE);
    // The failed event without a key blocks nobody.
    expect(await sink.blockedKeys()).toEqual(["blocked \0 key"]);
    broken = false;
    expect(await sink.replay(`toloka:${poison.uuid}`)).toBe(true);
    await vi.waitFor(() => expect(handled).toEqual([other.uuid, poison.uuid, next.uuid]), PATIENCE);
    expect(await sink.blockedKeys()).toEqual([]);
    expect(await sink.discard({})).toBe(1);
  }, 60_000);

  test('with onFailed: "skip" a failed event is kept and does not block its key', async () => {
    const sink = open({ attempts: 1, onFailed: "skip" });
    const events = [eventOf("p"), eventOf("p"), eventOf("p")];
    await deliver(sink, ...events);
    const handled: string[] = [];
    work(sink, ({ id }) => {
      if (id !== events[2]?.uuid) throw new Error("broken");
      handled.push(id);
    });
    await vi.waitFor(() => expect(handled).toEqual([events[2]?.uuid]), PATIENCE);
    const ids = (await sink.failed()).map(({ event }) => event.id);
    expect(ids).toEqual([events[0]?.uuid, events[1]?.uuid]);
    expect(await sink.blockedKeys()).toEqual([]);
  }, 60_000);

  test('with onFailed: "skip" an event whose worker died at its last attempt does not block its key', async () => {
    const sink = open({ attempts: 1, onFailed: "skip" });
    const events = [eventOf("p"), eventOf("p")];
    await deliver(sink, ...events);
    // pg-boss leaves this when it finds a worker dead.
    await sql(
      `UPDATE ${options.schema}.job SET state = 'failed', completed_on = now() WHERE data->>'id' = '${events[0]?.uuid}'`,
    );
    const handled: string[] = [];
    work(sink, ({ id }) => handled.push(id));
    await vi.waitFor(() => expect(handled).toEqual([events[1]?.uuid]), PATIENCE);
  }, 60_000);

  test("keys of any length are distinct", async () => {
    const long = "x".repeat(100_000);
    const sink = open({ attempts: 1 });
    const events = [eventOf(`${long}a`), eventOf(`${long}b`)];
    await deliver(sink, ...events);
    const handled: string[] = [];
    work(sink, ({ id }) => {
      if (id === events[0]?.uuid) throw new Error("broken");
      handled.push(id);
    });
    await vi.waitFor(() => expect(handled).toEqual([events[1]?.uuid]), PATIENCE);
  }, 60_000);
});

test.each([
  [{ onFailed: "drop" }, 'onFailed must be "block" or "skip"'],
  [{ orderingKey: "pool" }, "orderingKey must be a function"],
])("pgBossSink throws for %j", (options, message) => {
  expect(() => pgBossSink({ dataDir: "./none", ...options } as never)).toThrow(message);
});
