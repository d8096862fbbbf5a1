// Prints what failed as often as it may; with the argument `replay`, has it tried again.
import { bullmqSink } from "@crowdhook/bullmq";

const { REDIS_URL: connection = "redis://127.0.0.1:6379" } = process.env;
const sink = bullmqSink({ connection });
for (const { id, event, error, attempts } of await sink.failed()) {
  console.log(`${id} ${event.type} failed ${attempts} times, at last with ${error}`);
  if (process.argv[2] === "replay") await sink.replay(id);
}
await sink.close();
