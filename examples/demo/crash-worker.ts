/**
 * The worker of crash.ts. It stores the events that it is given, and its listener writes a row for each
 * of them in the transaction that completes the event. It prints a line at each step, and is killed.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createReceiver } from "@crowdhook/core";
import { signToloka, tolokaEvent } from "@crowdhook/core/testing";
import { toloka } from "@crowdhook/core/toloka";
import { pgBossSink } from "@crowdhook/pg-boss";

const [dataDir = "", ...ids] = process.argv.slice(2);
const secret = "12345";
const sink = pgBossSink({ dataDir, attempts: 1000, backoff: 1 });
await sink.ready();

const web = createReceiver(toloka, { secret, sink });
const events = ids.map((uuid) => tolokaEvent("POOL_CLOSED", { uuid }));
if (events.length > 0) {
  const { status } = await web.handle(signToloka({ secret, events }));
  if (status !== 200) throw new Error(`The delivery got ${status}.`);
}
console.log("stored");

const worker = sink.work(createReceiver(toloka, { secret }), { transactional: true });
worker.on("POOL_CLOSED", async (event, { tx }) => {
  await tx.query("CREATE TABLE IF NOT EXISTS payments (event text)");
  await tx.query("INSERT INTO payments (event) VALUES ($1)", [event.id]);
  console.log("writing");
  // The row is written, and not committed yet.
  await delay(15);
});

process.once("SIGTERM", async () => {
  await sink.close();
  process.exit();
});
