/**
 * One process of transaction-kills.test.ts. It stores a batch of events, prints `stored` and runs a
 * worker, until it is killed. Its listener prints `begun`, writes a row, waits, and sometimes throws.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSinkOptions, pgBossSink, type TransactionalContext } from "@crowdhook/pg-boss";
import { seededRandom } from "./seeded-random.js";

export interface TransactionWorkerOptions {
  readonly sink: PgBossSinkOptions;
  readonly seed: number;
  /** The ids of the events to store. */
  readonly ids: readonly string[];
  /** For a worker that is not transactional: its rows are the lines of this file. */
  readonly file?: string | undefined;
  /** Prints `rows <count>`, the number of events that have a row, every now and then. */
  readonly counts?: boolean;
}

const options: TransactionWorkerOptions = JSON.parse(process.argv[2] ?? "");
const random = seededRandom(options.seed);
const secret = "12345";
const sink = pgBossSink(options.sink);

const { file } = options;

const receiver = createReceiver(toloka, { secret });
receiver.on("POOL_CLOSED", async ({ id }, context) => {
  console.log("begun");
  if (file) appendFileSync(file, `${id}\n`);
  else await (context as TransactionalContext).tx.query("INSERT INTO wrote (id) VALUES ($1)", [id]);
  await delay(random() * 25);
  if (random() < 0.1) throw new Error("This attempt was chosen to fail.");
});
receiver.on("ASSIGNMENT_SUBMITTED", async (_event, context) => {
  console.log(`rows ${file ? countLines(file) : await countRows(context as TransactionalContext)}`);
});
if (file) sink.work(receiver, { concurrency: 4 });
else sink.work(receiver, { transactional: true, concurrency: 4 });

function countLines(path: string): number {
  return new Set(readFileSync(path, "utf8").trim().split("\n")).size;
}

async function countRows({ tx }: TransactionalContext): Promise<number> {
  const { rows } = await tx.query("SELECT count(*)::int AS count FROM wrote");
  return rows[0].count;
}

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
