// Prints the events that failed for good. With the argument `replay`, it queues them again.
import { pgBossSink } from "@crowdhook/pg-boss";

const { DATABASE_URL: connection, DATA_DIR: dataDir = "data" } = process.env;
const sink = pgBossSink(connection === undefined ? { dataDir } : { connection });
for (const { id, event, error, attempts } of await sink.failed()) {
  console.log(`${id} ${event.type} failed ${attempts} times, last with ${error}`);
  if (process.argv[2] === "replay") await sink.replay(id);
}
await sink.close();
