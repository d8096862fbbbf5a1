/**
 * One process of order-kills.test.ts: a transactional worker that runs until it is killed. Its listener
 * prints `begun`, and inserts a row with the event's key, its number within the key and the number of
 * rows of the key that are committed. Then it waits, and sometimes throws.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createReceiver } from "@crowdhook/core";
import { toloka } from "@crowdhook/core/toloka";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { seededRandom } from "./seeded-random.js";

export interface OrderWorkerOptions {
  readonly sink: PgBossSinkOptions;
  readonly seed: number;
}

const options: OrderWorkerOptions = JSON.parse(process.argv[2] ?? "");
const random = seededRandom(options.seed);
// This process stores no event, so its key does not matter.
const sink = pgBossSink({ ...options.sink, orderingKey: () => undefined });

const receiver = createReceiver(toloka, { secret: "12345" });
const worker = sink.work(receiver, { transactional: true, concurrency: 4 });
worker.on("POOL_CLOSED", async ({ data }, { tx }) => {
  console.log("begun");
  await tx.query(
    `INSERT INTO handled (key, sequence, before)
     SELECT $1, $2, count(*) FROM handled WHERE key = $1`,
    [data.pool_id, data.project_id],
  );
  await delay(random() * 10);
  if (random() < 0.02) throw new Error("This attempt was chosen to fail.");
});
process.once("SIGTERM", () => sink.close().then(() => process.exit()));
