import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import {
  type PgBossSink,
  type PgBossSinkOptions,
  pgBossSink,
  type TransactionalContext,
  type TransactionalWorkOptions,
} from "@crowdhook/pg-boss";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type PostgresServer, postgresMissing, postgresServer, queryPostgres } from "./postgres-server.js";

const SECRET = "12345";
const PATIENCE = { timeout: 30_000, interval: 20 };
const missing = postgresMissing("own");
if (missing) console.warn(missing);

const sinks: PgBossSink[] = [];
afterEach(async () => {
  await Promise.all(sinks.splice(0).map((sink) => sink.close()));
});

/** Starts a transactional worker on a new sink and returns what a test needs of it. */
function start(
  options: PgBossSinkOptions,
  listener: (id: string, context: TransactionalContext) => unknown,
  { timeout, ...work }: Partial<TransactionalWorkOptions> & { readonly timeout?: number } = {},
) {
  const sink = pgBossSink({ attempts: 2, backoff: 1, ...options });
  sinks.push(sink);
  const receiver = createReceiver(toloka, { secret: SECRET, timeout });
  const web = createReceiver(toloka, { secret: SECRET, sink });
  const errors: string[] = [];
  receiver.onError((error) => errors.push(String(error)));
  const listening = sink.work(receiver, { ...work, transactional: true });
  listening.onAny(({ id }, context) => listener(id, context));
  return {
    sink,
    errors,
    /** Delivers the events to a receiver without claims. Returns the status of the reply. */
    async deliver(...events: readonly object[]) {
      return (await web.handle(signToloka({ secret: SECRET, events }))).status;
    },
  };
}

const ENGINES = [
  { engine: "PostgreSQL", skip: missing },
  { engine: "PGlite", skip: undefined },
];

describe.each(ENGINES)("a transactional worker on $engine", ({ engine, skip }) => {
  let server: PostgresServer | undefined;
  let dataDir: string;
  let options: PgBossSinkOptions;
  let keeper: PgBossSink | undefined;
  beforeAll(async () => {
    if (skip) return;
    if (engine === "PostgreSQL") server = await postgresServer("own");
    else dataDir = await mkdtemp(join(tmpdir(), "crowdhook-tx-"));
    options = server ? { connection: server.url } : { dataDir };
    const sink = pgBossSink(options);
    await sink.ready();
    // PGlite stays open as long as a sink uses it.
    if (engine === "PGlite") keeper = sink;
    else await sink.close();
  }, 120_000);
  afterAll(async () => {
    await keeper?.close();
    await server?.close();
    if (dataDir) await rm(dataDir, { recursive: true, force: true });
  });

  /** Each test writes into a table of its own. */
  const newTable = async () => {
    const table = `wrote_${randomUUID().replaceAll("-", "")}`;
    await sql(`CREATE TABLE ${table} (id text, attempt int)`);
    return table;
  };
  const insert = (table: string) => `INSERT INTO ${table} VALUES ($1, $2)`;

  /** A queue of its own, so that no event of another test comes in between. */
  const fresh = (attempts = 2) => ({ ...options, attempts, queue: `q${randomUUID().replaceAll("-", "")}` });

  /** Runs a statement. On PGlite only a worker of this process can. */
  async function sql(text: string): Promise<object[]> {
    if (server) return queryPostgres(server.url, text);
    const results: object[][] = [];
    const { deliver } = start(fresh(1), async (_id, { tx }) => results.push((await tx.query(text)).rows));
    await deliver(tolokaEvent("POOL_CLOSED"));
    await vi.waitFor(() => expect(results).toHaveLength(1), PATIENCE);
    return results[0] ?? [];
  }

  test.skipIf(skip)(
    "a listener that throws rolls its writes back, and the next attempt writes once",
    async () => {
      const table = await newTable();
      const event = tolokaEvent("POOL_CLOSED");
      const { deliver, errors } = start(fresh(), async (id, { tx, attempt }) => {
        await tx.query(insert(table), [id, attempt]);
        if (attempt === 1) throw new Error("the first attempt fails");
      });
      expect(await deliver(event)).toBe(200);
      await vi.waitFor(
        async () => expect(await sql(`SELECT * FROM ${table}`)).toEqual([{ id: event.uuid, attempt: 2 }]),
        PATIENCE,
      );
      expect(errors).toEqual(["Error: the first attempt fails"]);
    },
    60_000,
  );

  test.skipIf(skip)(
    "what a listener wrote is visible exactly when the event is completed",
    async () => {
      const table = await newTable();
      const event = tolokaEvent("POOL_CLOSED");
      const { deliver } = start(fresh(), async (id, { tx }) => {
        await tx.query(insert(table), [id, 1]);
      });
      await deliver(event);
      const states = `SELECT w.id, j.state::text FROM ${table} w JOIN crowdhook.job j ON j.data->>'id' = w.id`;
      await vi.waitFor(
        async () => expect(await sql(states)).toEqual([{ id: event.uuid, state: "completed" }]),
        PATIENCE,
      );
    },
    60_000,
  );

  test.skipIf(skip)(
    "a listener that takes longer than transactionTimeout writes nothing, not even later",
    async () => {
      const table = await newTable();
      const late: unknown[] = [];
      let release = () => {};
      const { deliver, sink } = start(
        fresh(1),
        async (id, { tx }) => {
          await tx.query(insert(table), [id, 1]);
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          try {
            await tx.query(insert(table), [id, 1]);
            late.push("wrote");
          } catch (error) {
            late.push((error as Error).name);
          }
        },
        { transactionTimeout: 0.5 },
      );
      await deliver(tolokaEvent("POOL_CLOSED"));
      const failed = await vi.waitFor(async () => {
        const all = await sink.failed();
        expect(all).toHaveLength(1);
        return all;
      }, PATIENCE);
      expect(failed[0]?.error).toMatch(/took longer than transactionTimeout \(0\.5 seconds\)/);
      release();
      await vi.waitFor(() => expect(late).toEqual(["TransactionOver"]), PATIENCE);
      expect(await sql(`SELECT * FROM ${table}`)).toEqual([]);
    },
    60_000,
  );

  test.skipIf(skip)(
    "a listener that swallows the error of its own statement fails, and nothing is completed",
    async () => {
      const { deliver, sink } = start(fresh(1), async (_id, { tx }) => {
        await tx.query("SELECT 1 / 0").catch(() => {});
      });
      await deliver(tolokaEvent("POOL_CLOSED"));
      await vi.waitFor(async () => expect(await sink.failed()).toHaveLength(1), PATIENCE);
      expect((await sink.failed())[0]?.error).toMatch(/aborted/);
    },
    60_000,
  );

  if (engine === "PGlite") {
    test("a listener that uses the sink outside tx fails at once, with the fix", async () => {
      const { deliver, sink, errors } = start(fresh(), async () => void (await sink.failed()));
      await deliver(tolokaEvent("POOL_CLOSED"));
      await vi.waitFor(
        () => expect(errors[0]).toMatch(/PGlite has one connection. Use context.tx/),
        PATIENCE,
      );
    }, 60_000);
  } else {
    test.skipIf(skip)(
      "more transactions than the pool's ten connections run at once",
      async () => {
        let running = 0;
        let most = 0;
        let release = () => {};
        const gate = new Promise<void>((resolve) => {
          release = resolve;
        });
        const { deliver } = start(
          fresh(),
          async (_id, { tx }) => {
            most = Math.max(most, ++running);
            await tx.query("SELECT 1");
            await gate;
          },
          { concurrency: 25 },
        );
        await deliver(...Array.from({ length: 25 }, () => tolokaEvent("POOL_CLOSED")));
        await vi.waitFor(() => expect(most).toBe(25), PATIENCE);
        // There is still a connection for deliveries.
        expect(await deliver(tolokaEvent("POOL_CLOSED"))).toBe(200);
        release();
      },
      60_000,
    );

    test.skipIf(skip)(
      "an attempt whose lease another worker took over commits nothing",
      async () => {
        const table = await newTable();
        const event = tolokaEvent("POOL_CLOSED");
        let release: (() => void) | undefined;
        const { deliver, errors } = start(
          fresh(),
          async (id, { tx, attempt }) => {
            await tx.query(insert(table), [id, attempt]);
            if (attempt === 1) {
              await new Promise<void>((resolve) => {
                release = resolve;
              });
            }
          },
          { concurrency: 2 },
        );
        await deliver(event);
        // pg-boss does this when a lease expires.
        await vi.waitFor(
          async () =>
            expect(
              await sql(
                `UPDATE crowdhook.job SET state = 'retry', start_after = now()
                 WHERE data->>'id' = '${event.uuid}' AND state = 'active' RETURNING 1 AS one`,
              ),
            ).toEqual([{ one: 1 }]),
          PATIENCE,
        );
        await vi.waitFor(
          async () => expect(await sql(`SELECT * FROM ${table}`)).toEqual([{ id: event.uuid, attempt: 2 }]),
          PATIENCE,
        );
        // The second attempt has committed. Now the first one ends.
        release?.();
        await sinks[0]?.close();
        expect(await sql(`SELECT * FROM ${table}`)).toEqual([{ id: event.uuid, attempt: 2 }]);
        expect(errors).toEqual([]);
      },
      60_000,
    );
  }
});

test.each([
  [{ transactional: "yes" }, "transactional must be true or false"],
  [{ transactional: true, transactionTimeout: 0 }, "transactionTimeout must be a number of seconds"],
])("work throws for %j", (options, message) => {
  const sink = pgBossSink({ connection: "postgres://127.0.0.1:1/none" });
  sinks.push(sink);
  const receiver = createReceiver(toloka, { secret: SECRET });
  expect(() => sink.work(receiver, options as never)).toThrow(new TypeError(message).message);
});
