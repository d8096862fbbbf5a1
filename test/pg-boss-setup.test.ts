import { randomUUID } from "node:crypto";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSink, type PgBossSinkOptions, pgBossSink, schemaSql } from "@crowdhook/pg-boss";
import PgBoss10 from "pg-boss-10";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { pgbouncer, pgbouncerMissing } from "./pgbouncer-server.js";
import { type PostgresServer, postgresMissing, postgresServer, queryPostgres } from "./postgres-server.js";

const SECRET = "12345";
const PATIENCE = { timeout: 30_000, interval: 20 };
const missing = postgresMissing("own");
const noPooler = missing ?? pgbouncerMissing();
for (const reason of new Set([missing, noPooler])) if (reason) console.warn(reason);

const sinks: PgBossSink[] = [];
afterEach(async () => {
  await Promise.all(sinks.splice(0).map((sink) => sink.close()));
});

function open(options: PgBossSinkOptions): PgBossSink {
  const sink = pgBossSink({ attempts: 3, backoff: 1, ...options });
  sinks.push(sink);
  return sink;
}

async function deliver(sink: PgBossSink, ...events: readonly object[]) {
  const receiver = createReceiver(toloka, { secret: SECRET, sink });
  return (await receiver.handle(signToloka({ secret: SECRET, events }))).status;
}

/** Starts a worker and returns the ids of the events that it handles. */
function work(sink: PgBossSink, options: { transactional?: true } = {}) {
  const handled: string[] = [];
  const receiver = createReceiver(toloka, { secret: SECRET });
  receiver.onAny(({ id }) => handled.push(id));
  sink.work(receiver, options as { transactional: true });
  return handled;
}

test.each(["user", "order", "values", "pg_x", "Upper", "with-dash", "1st", "", "x".repeat(51), 'quoted"'])(
  "pgBossSink throws for the schema %j",
  (schema) => {
    expect(() => pgBossSink({ dataDir: "./none", schema })).toThrow(TypeError);
  },
);

test.each([{ attempts: 2 ** 31 }, { backoff: 1e9 }, { retention: 36_500 * 86_400 }, { lease: 1e10 }])(
  "pgBossSink throws for %j, which PostgreSQL could not store",
  (options) => {
    expect(() => pgBossSink({ dataDir: "./none", ...options })).toThrow(/ must be at most \d+, not \d+\./);
  },
);

describe.skipIf(missing)(`the database of pgBossSink ${missing ?? ""}`, () => {
  let server: PostgresServer;
  const newName = () => `test_${randomUUID().replaceAll("-", "")}`;
  const sql = (text: string, url = server.url) => queryPostgres(url, text);
  /** Returns the URL with another role or database. */
  const urlOf = (changes: { role?: string; database?: string }) => {
    const url = new URL(server.url);
    if (changes.role) url.username = changes.role;
    if (changes.database) url.pathname = changes.database;
    return url.href;
  };
  beforeAll(async () => {
    server = await postgresServer("own");
  }, 60_000);
  afterAll(() => server?.close());

  test("each word of SQL is refused as a schema, or its tables can be created and used", async () => {
    const words = await sql("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U' OR word LIKE 'ab%'");
    const refused = words.filter(({ word }) => {
      try {
        pgBossSink({ connection: server.url, schema: word });
        return false;
      } catch (error) {
        expect((error as Error).message).toMatch(/a word of SQL/);
        return true;
      }
    });
    expect(refused.length).toBeGreaterThan(100);
    for (const { word } of words.filter((word) => !refused.includes(word))) {
      await sql(schemaSql(word));
      await sql(`SELECT ${word}.create_queue('q', '{"policy": "standard"}'); DROP SCHEMA ${word} CASCADE`);
    }
  }, 120_000);

  test("a role without CREATE on the database works in a schema of its own", async () => {
    const role = newName();
    await sql(`CREATE ROLE ${role} LOGIN; CREATE SCHEMA ${role} AUTHORIZATION ${role}`);
    const sink = open({ connection: urlOf({ role }), schema: role });
    const event = tolokaEvent("POOL_CLOSED");
    expect(await deliver(sink, event)).toBe(200);
    const handled = work(sink);
    await vi.waitFor(() => expect(handled).toEqual([event.uuid]), PATIENCE);
  });

  test("a role that may only read and write works on tables that schemaSql created", async () => {
    const role = newName();
    await sql(schemaSql(role));
    await sql(
      `CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA ${role} TO ${role};
       GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${role} TO ${role}`,
    );
    const sink = open({ connection: urlOf({ role }), schema: role });
    const event = tolokaEvent("POOL_CLOSED");
    expect(await deliver(sink, event)).toBe(200);
    const handled = work(sink);
    await vi.waitFor(() => expect(handled).toEqual([event.uuid]), PATIENCE);
  });

  test("a role that lacks rights is told which statement to run", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const role = newName();
    await sql(`CREATE ROLE ${role} LOGIN`);
    const sink = open({ connection: urlOf({ role }), schema: role });
    await expect(sink.ready()).rejects.toThrow(`Run CREATE SCHEMA ${role} AUTHORIZATION "${role}"`);
    expect(await deliver(sink, tolokaEvent("POOL_CLOSED"))).toBe(503);
    await sql(`CREATE SCHEMA ${role}`);
    await expect(sink.ready()).rejects.toThrow("Run GRANT CREATE, USAGE ON SCHEMA");
    await sql(`GRANT CREATE, USAGE ON SCHEMA ${role} TO "${role}"`);
    // The sink recovers by itself.
    expect(await deliver(sink, tolokaEvent("POOL_CLOSED"))).toBe(200);
  });

  test.each([
    { lacks: "USAGE on the schema", revoke: (schema: string) => `USAGE ON SCHEMA ${schema}` },
    { lacks: "INSERT on a table", revoke: (schema: string) => `INSERT ON ${schema}.job_common` },
    { lacks: "SELECT on a table", revoke: (schema: string) => `SELECT ON ${schema}.version` },
  ])("a role that lacks $lacks is told at start which rights to grant", async ({ revoke }) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const role = newName();
    await sql(schemaSql(role));
    const grant = `GRANT USAGE ON SCHEMA ${role} TO "${role}"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${role} TO "${role}"`;
    await sql(`CREATE ROLE ${role} LOGIN; ${grant}; REVOKE ${revoke(role)} FROM ${role}`);
    const sink = open({ connection: urlOf({ role }), schema: role });
    await expect(sink.ready()).rejects.toThrow(`Run ${grant}.`);
    await sql(grant);
    // The sink recovers by itself.
    expect(await deliver(sink, tolokaEvent("POOL_CLOSED"))).toBe(200);
  });

  test("a database that cannot hold every event is refused with the reason, which the log names", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const database = newName();
    await sql(`CREATE DATABASE ${database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    const sink = open({ connection: urlOf({ database }) });
    await expect(sink.ready()).rejects.toThrow("has the encoding LATIN1, which cannot hold every event");
    work(sink);
    await vi.waitFor(() => expect(log.mock.calls.join()).toContain("the encoding LATIN1"), PATIENCE);
  });

  test("ready creates everything that the first delivery needs", async () => {
    const schema = newName();
    await open({ connection: server.url, schema }).ready();
    expect(await sql(`SELECT count(*)::int AS jobs FROM ${schema}.job`)).toEqual([{ jobs: 0 }]);
  });

  test("handled events are forgotten after their retention, failed and waiting ones are not", async () => {
    const schema = newName();
    const sink = open({ connection: server.url, schema, retention: 60, attempts: 1 });
    const events = [1, 2, 3, 4].map(() => tolokaEvent("POOL_CLOSED"));
    await deliver(sink, ...events);
    const states = ["completed", "completed", "failed", "created"];
    for (const [i, { uuid }] of events.entries()) {
      const done = i === 0 ? "now() - interval '1 day'" : i === 3 ? "NULL" : "now() - interval '1 second'";
      await sql(
        `UPDATE ${schema}.job SET state = '${states[i]}', completed_on = ${i === 2 ? "now() - interval '1 day'" : done}
         WHERE data->>'id' = '${uuid}'`,
      );
    }
    await sink.close();
    const again = open({ connection: server.url, schema, retention: 1 });
    await again.ready();
    await sql(
      `UPDATE ${schema}.job SET completed_on = now() + interval '1 day' WHERE data->>'id' = '${events[1]?.uuid}'`,
    );
    const left = async () =>
      (await sql(`SELECT data->>'id' AS id FROM ${schema}.job ORDER BY created_on`))
        .map(({ id }) => id)
        .sort();
    await vi.waitFor(
      async () =>
        expect(await left()).toEqual(
          events
            .slice(1)
            .map(({ uuid }) => uuid)
            .sort(),
        ),
      PATIENCE,
    );
  });

  test.skipIf(noPooler)(
    `${noPooler ?? ""} behind PgBouncer in transaction mode the sink works, and strangers' sessions stay unchanged`,
    async () => {
      const pooler = await pgbouncer(server.url);
      const schema = newName();
      // PgBouncer itself sets the application_name of each client.
      const session =
        "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'application_name'";
      const listening = "SELECT pg_listening_channels()";
      const before = await sql(session, pooler.url);
      const sink = open({ connection: pooler.url, schema, orderingKey: () => "one" });
      const handled = work(sink, { transactional: true });
      const events = [1, 2, 3].map(() => tolokaEvent("POOL_CLOSED"));
      expect(await deliver(sink, ...events)).toBe(200);
      await vi.waitFor(() => expect(handled).toEqual(events.map(({ uuid }) => uuid)), PATIENCE);
      // The only server session behind the pooler has run all statements of the sink.
      expect(await sql(session, pooler.url)).toEqual(before);
      expect(await sql(listening, pooler.url)).toEqual([]);
      await sink.close();
      await pooler.close();
    },
    60_000,
  );

  test("migrate moves all events of a schema that pg-boss 10 made, and forgets none", async () => {
    const schema = newName();
    const queue = "crowdhook-toloka";
    const old = new PgBoss10({ connectionString: server.url, schema });
    await old.start();
    await old.createQueue(queue);
    const stored = (id: string) => ({
      v: 1,
      provider: "toloka",
      type: "POOL_CLOSED",
      id,
      occurredAt: null,
      data: tolokaEvent("POOL_CLOSED", { uuid: id }),
    });
    const ids = { waiting: randomUUID(), running: randomUUID(), failed: randomUUID(), handled: randomUUID() };
    // The sink derives a job's id from the event's, so take them from a sink that stored the same events.
    const other = newName();
    const twin = open({ connection: server.url, schema: other });
    await deliver(twin, ...Object.values(ids).map((uuid) => tolokaEvent("POOL_CLOSED", { uuid })));
    for (const { id, job } of await sql(`SELECT data->>'id' AS id, id::text AS job FROM ${other}.job`)) {
      await old.insert([{ name: queue, id: job, data: stored(id) }]);
    }
    const set = (id: string, text: string) =>
      sql(`UPDATE ${schema}.job SET ${text} WHERE data->>'id' = '${id}'`);
    await set(ids.running, "state = 'active', started_on = now()");
    await set(
      ids.failed,
      `state = 'failed', retry_count = 2, completed_on = now(), output = '{"message": "Error: old"}'`,
    );
    await set(ids.handled, "state = 'completed', completed_on = now()");
    await old.stop({ graceful: false });

    const sink = open({ connection: server.url, schema });
    await expect(sink.ready()).rejects.toThrow("run sink.migrate() once");
    await sink.migrate();
    await sink.migrate();
    const [failed] = await sink.failed();
    expect(failed).toMatchObject({ id: `toloka:${ids.failed}`, error: "Error: old", attempts: 3 });
    // All are known: a redelivery of them adds no event.
    await deliver(sink, ...Object.values(ids).map((uuid) => tolokaEvent("POOL_CLOSED", { uuid })));
    expect(await sql(`SELECT count(*)::int FROM ${schema}.job`)).toEqual([{ count: 4 }]);
    const handled = work(sink);
    await vi.waitFor(() => expect([...handled].sort()).toEqual([ids.waiting, ids.running].sort()), PATIENCE);
    expect(await sink.replay(`toloka:${ids.failed}`)).toBe(true);
    await vi.waitFor(() => expect(handled).toContain(ids.failed), PATIENCE);
    // The old rows are still there.
    expect(await sql(`SELECT count(*)::int FROM ${schema}_v10.job`)).toEqual([{ count: 4 }]);
  }, 60_000);
});
