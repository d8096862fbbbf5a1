/**
 * One process of transaction-kills.test.ts. It stores a batch of events, prints `stored` and runs a
 * transactional worker, until it is killed. Its listener prints `begun`, inserts a row, waits, and
 * sometimes throws.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { seededRandom } from "./seeded-random.js";

export interface TransactionWorkerOptions {
  readonly sink: PgBossSinkOptions;
  readonly seed: number;
  /** The ids of the events to store. */
  readonly ids: readonly string[];
  /** Prints `rows <count>` every now and then. */
  readonly counts?: boolean;
}

const options: TransactionWorkerOptions = JSON.parse(process.argv[2] ?? "");
const random = seededRandom(options.seed);
const secret = "12345";
const sink = pgBossSink(options.sink);

const worker = sink.work(createReceiver(toloka, { secret }), { transactional: true, concurrency: 4 });
worker.on("POOL_CLOSED", async ({ id }, { tx }) => {
  console.log("begun");
  await tx.query("INSERT INTO wrote (id) VALUES ($1)", [id]);
  await delay(random() * 25);
  if (random() < 0.1) throw new Error("This attempt was chosen to fail.");
});
worker.on("ASSIGNMENT_SUBMITTED", async (_event, { tx }) => {
  const { rows } = await tx.query("SELECT count(*)::int AS count FROM wrote");
  console.log(`rows ${rows[0].count}`);
});

const web = createReceiver(toloka, { secret, sink });
async function store(events: readonly object[]): Promise<void> {
  const { status } = await web.handle(signToloka({ secret, events }));
  if (status !== 200) throw new Error(`A delivery got ${status}.`);
}

if (options.ids.length > 0) await store(options.ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid })));
console.log("stored");
process.once("SIGTERM", () => sink.close().then(() => process.exit()));
while (options.counts) {
  await store([tolokaEvent("ASSIGNMENT_SUBMITTED")]);
  await delay(500);
}
