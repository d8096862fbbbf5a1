// Prints what failed as often as it may; with the argument `replay`, has it tried again.
import { pgBossSink } from "@crowdhook/pg-boss";

const { DATABASE_URL: connection, DATA_DIR: dataDir = "data" } = process.env;
const sink = pgBossSink(connection === undefined ? { dataDir } : { connection });
for (const { id, event, error, attempts } of await sink.failed()) {
  console.log(`${id} ${event.type} failed ${attempts} times, at last with ${error}`);
  if (process.argv[2] === "replay") await sink.replay(id);
}
await sink.close();
