/**
 * Measures the durable sinks next to their bare engines, in the same rounds of one process: events stored
 * per second, events handled per second, and how soon deliveries are answered while the listeners take 30
 * seconds. `pnpm bench sinks`, with `--pglite`, `--postgres` or `--redis` for one of them.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver, type ListenerContext, type ReceivedEvent } from "@crowdhook/core";
import { type DurableSink, serializeEvent } from "@crowdhook/core/sink";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { pgBossSink } from "@crowdhook/pg-boss";
import { PGlite } from "@electric-sql/pglite";
import { Queue, Worker } from "bullmq";
import pg from "pg";
import { type ConstructorOptions, type Db, PgBoss, type WorkOptions } from "pg-boss";
import { postgresMissing, postgresServer } from "../test/postgres-server.js";
import { redisMissing, redisServer } from "../test/redis-server.js";

const SECRET = "12345";
const ROUNDS = 3;
/** In milliseconds: how long one measurement takes. */
const MEASURED_MS = 1_500;
/** In milliseconds: bare pg-boss needs a second to notice that jobs wait. */
const WARM_UP_MS = 1_500;
const ANSWERED_MS = 15_000;
const NO_CONTEXT = {} as ListenerContext;

/** One way to keep events and to work them off, on a queue of its own. */
interface Side {
  store(events: readonly ReceivedEvent[]): Promise<unknown>;
  work(concurrency: number, handled: () => void): Promise<void>;
  close(): Promise<unknown>;
}

/** `bare` is what the others are compared with. */
type Sides = Readonly<Record<string, () => Promise<Side>>>;

interface Engine {
  readonly stores: Sides;
  readonly workers: Sides;
  sink(): DurableSink;
  close(): Promise<unknown>;
}

function eventsOf(count: number): ReceivedEvent[] {
  const events = Array.from({ length: count }, () => tolokaEvent("ASSIGNMENT_SUBMITTED"));
  return toloka.parseEvents({ events }, new Headers(), Date.now()) as ReceivedEvent[];
}

function oursOn(sink: DurableSink, options: object = {}): Side {
  return {
    store: async (events) => sink.accept(events, NO_CONTEXT),
    async work(concurrency, handled) {
      const receiver = createReceiver(toloka, { secret: SECRET });
      receiver.onAny(handled);
      sink.work(receiver, { concurrency, ...options });
    },
    close: () => sink.close(),
  };
}

/** How pg-boss' own worker runs `concurrency` jobs at once, without a pause while jobs wait. */
const BARE_WORK = {
  /** One job after the other, as our worker does. */
  single: (concurrency: number) => ({
    batchSize: 1,
    localConcurrency: concurrency,
    burstWhenReadyExceeds: 1,
  }),
  /** All jobs of a batch succeed or fail together. */
  batches: (concurrency: number) => ({
    batchSize: concurrency,
    burstWhenBatchFull: true,
    burstWhenReadyExceeds: 1,
  }),
};

/** pg-boss with the options of the sink. */
async function bareBoss(
  options: ConstructorOptions,
  work: (concurrency: number) => WorkOptions,
  release: () => Promise<unknown>,
): Promise<Side> {
  const boss = new PgBoss({
    ...options,
    schema: `bare_${randomUUID().replaceAll("-", "")}`,
    schedule: false,
    // How soon `burstWhenReadyExceeds` notices jobs.
    superviseIntervalSeconds: 1,
    monitorIntervalSeconds: 1,
    queueCacheIntervalSeconds: 1,
  });
  boss.on("error", console.error);
  await boss.start();
  await boss.createQueue("bare", { retryLimit: 9, retryDelay: 5, retryBackoff: true });
  return {
    store: (events) =>
      boss.insert(
        "bare",
        events.map((event) => ({ id: randomUUID(), data: serializeEvent(event) })),
      ),
    async work(concurrency, handled) {
      const settings = { pollingIntervalSeconds: 0.5, ...work(concurrency) };
      await boss.work("bare", settings, async (jobs: unknown[]) => {
        for (const _job of jobs) handled();
      });
    },
    async close() {
      await boss.stop({ graceful: false });
      await release();
    },
  };
}

/** All sides on one database: the sink's, and bare pg-boss with each of its ways to work. */
function sidesOf(sink: () => DurableSink, bare: (work: keyof typeof BARE_WORK) => () => Promise<Side>) {
  const ours = async () => oursOn(sink());
  return {
    sink,
    stores: { ours, bare: bare("single") },
    workers: {
      ours,
      transactional: async () => oursOn(sink(), { transactional: true }),
      bare: bare("single"),
      "bare, batches": bare("batches"),
    },
  };
}

async function postgres(): Promise<Engine> {
  const server = await postgresServer("own");
  const sink = () =>
    pgBossSink({ connection: server.url, schema: `ours_${randomUUID().replaceAll("-", "")}` });
  const bare = (work: keyof typeof BARE_WORK) => async () => {
    const pool = new pg.Pool({ connectionString: server.url });
    const db = { executeSql: (text: string, values?: unknown[]) => pool.query(text, values) };
    return bareBoss({ db }, BARE_WORK[work], () => pool.end());
  };
  return {
    ...sidesOf(sink, bare),
    close: () => server.close(),
  };
}

async function pglite(): Promise<Engine> {
  const folder = mkdtempSync(path.join(tmpdir(), "crowdhook-bench-"));
  let queues = 0;
  // The first start of PGlite takes seconds, so all sides keep theirs open.
  const bareDb = await PGlite.create(path.join(folder, "bare"));
  const dataDir = path.join(folder, "ours");
  const keeper = pgBossSink({ dataDir });
  await keeper.ready();
  const sink = () =>
    pgBossSink({ dataDir, schema: `ours_${randomUUID().replaceAll("-", "")}`, queue: `q${queues++}` });
  const bare = (work: keyof typeof BARE_WORK) => async () => {
    const db = {
      async executeSql(text: string, values?: unknown[]) {
        if (values?.length) return bareDb.query(text, values) as Promise<{ rows: unknown[] }>;
        return { rows: (await bareDb.exec(text)).flatMap(({ rows }) => rows ?? []) };
      },
    };
    return bareBoss({ db: db as Db, backend: "pglite" }, BARE_WORK[work], async () => {});
  };
  return {
    ...sidesOf(sink, bare),
    async close() {
      await keeper.close();
      await bareDb.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function redis(): Promise<Engine> {
  const folder = mkdtempSync(path.join(tmpdir(), "crowdhook-bench-"));
  const server = await redisServer("own", "--dir", folder, "--appendonly", "yes", "--appendfsync", "always");
  const connection = { url: server.url };
  const sink = () =>
    bullmqSink({ connection: server.url, queue: `ours_${randomUUID().replaceAll("-", "")}` });
  const opts = { attempts: 10, removeOnComplete: { age: 604_800 } };
  const sides = {
    ours: async () => oursOn(sink()),
    async bare(): Promise<Side> {
      const name = `bare-${randomUUID()}`;
      const queue = new Queue(name, { connection });
      let worker: Worker | undefined;
      return {
        store: (events) =>
          queue.addBulk(
            events.map((event) => ({
              name: event.type,
              data: serializeEvent(event),
              opts: { ...opts, jobId: `event-${event.id}` },
            })),
          ),
        async work(concurrency, handled) {
          worker = new Worker(name, async () => handled(), { connection, concurrency });
        },
        async close() {
          await worker?.close();
          await queue.close();
        },
      };
    },
  };
  return {
    sink,
    stores: sides,
    workers: sides,
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Events a second. */
async function storing(side: Side, events: number, inFlight: number): Promise<number> {
  await side.store(eventsOf(1));
  let stored = 0;
  const begun = performance.now();
  const lane = async () => {
    while (performance.now() - begun < MEASURED_MS) {
      await side.store(eventsOf(events));
      stored += events;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return (stored / (performance.now() - begun)) * 1000;
}

/** Events a second, of those that wait. */
async function working(side: Side, concurrency: number, waiting: number): Promise<number> {
  for (let stored = 0; stored < waiting; stored += 1_000) await side.store(eventsOf(1_000));
  let first = 0;
  let begun = 0;
  let handled = 0;
  let left = waiting - concurrency;
  return new Promise<number>((resolve, reject) => {
    const over = setTimeout(() => reject(new Error("Too few events were handled.")), 60_000);
    side
      .work(concurrency, () => {
        const now = performance.now();
        left--;
        first ||= now;
        if (now - first < WARM_UP_MS) return;
        if (begun === 0) begun = now;
        else handled++;
        if (now - begun < MEASURED_MS && left > 0) return;
        clearTimeout(over);
        // Later calls change nothing.
        resolve((handled / (now - begun)) * 1000);
      })
      .catch(reject);
  });
}

const show = (rate: number) => (rate < 100 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en"));

/** Prints the median rate of each side, and in brackets its ratio to `bare` in the same round. */
async function compare(what: string, sides: Sides, measure: (side: Side) => Promise<number>): Promise<void> {
  const rates = new Map(Object.keys(sides).map((name) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, open] of Object.entries(sides)) {
      const side = await open();
      rates.get(name)?.push(await measure(side));
      await side.close();
    }
  }
  const bare = rates.get("bare") ?? [];
  console.log(`  ${what}`);
  for (const [name, measured] of rates) {
    const ratio = median(measured.map((rate, round) => rate / (bare[round] ?? Number.NaN)));
    console.log(`    ${name.padEnd(16)} ${show(median(measured)).padStart(9)}  (${ratio.toFixed(2)})`);
  }
}

/** How soon 50 deliveries a second are answered while ten listeners hold an event each for 30 s. */
async function answering(engine: Engine): Promise<void> {
  const sink = engine.sink();
  const receiver = createReceiver(toloka, { secret: SECRET, sink });
  receiver.onAny(() => delay(30_000, undefined, { ref: false }));
  sink.work(receiver, { concurrency: 10 });
  const server = http.createServer(async (request, response) => {
    const { method = "", headers } = request;
    const reply = await receiver.handle({ method, headers, body: await buffer(request) });
    response.writeHead(reply.status, reply.headers).end(reply.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/toloka-webhook`;
  const agent = new http.Agent({ keepAlive: true });
  const took: number[] = [];
  const send = async () => {
    const { method, headers, body } = signToloka({
      secret: SECRET,
      events: [tolokaEvent("ASSIGNMENT_SUBMITTED")],
    });
    const begun = performance.now();
    const request = http.request(url, { method, headers, agent });
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    for await (const _chunk of response);
    if (response.statusCode !== 200) throw new Error(`a delivery got ${response.statusCode}`);
    took.push(performance.now() - begun);
  };
  // The first one makes the queue.
  await send();
  took.length = 0;
  const sending: Promise<void>[] = [];
  for (const begun = performance.now(); performance.now() - begun < ANSWERED_MS; ) {
    sending.push(send());
    await delay(begun + sending.length * 20 - performance.now());
  }
  await Promise.all(sending);
  took.sort((a, b) => a - b);
  const at = (share: number) => (took[Math.floor(took.length * share)] ?? Number.NaN).toFixed(1);
  console.log(
    `  answers, listeners taking 30 s     ${took.length} deliveries, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
  server.close();
  agent.destroy();
  // Not awaited: it would wait for the listeners.
  void sink.close();
}

const ENGINES = { pglite, postgres, redis };
const missing = postgresMissing("own") ?? redisMissing("own");
if (missing) {
  console.error(missing);
  process.exit(1);
}
const chosen = process.argv.slice(2);
console.log(`\nevents a second, and the ratio to the bare engine (Node ${process.version})`);
for (const [name, open] of Object.entries(ENGINES)) {
  if (chosen.length > 0 && !chosen.includes(`--${name}`)) continue;
  const engine = await open();
  console.log(name);
  for (const [events, inFlight] of [
    [1, 1],
    [1, 16],
    [100, 4],
  ] as const) {
    await compare(`stored, ${events} a delivery, ${inFlight} in flight`, engine.stores, (side) =>
      storing(side, events, inFlight),
    );
  }
  for (const concurrency of [1, 16]) {
    await compare(`worked off, concurrency ${concurrency}`, engine.workers, (side) =>
      working(side, concurrency, concurrency === 1 ? 5_000 : 20_000),
    );
  }
  await answering(engine);
  await engine.close().catch(() => {});
}
process.exit();
