// Prints the events that failed for good. With the argument `replay`, it queues them again.
import { bullmqSink } from "@crowdhook/bullmq";

const { REDIS_URL: connection = "redis://127.0.0.1:6379" } = process.env;
const sink = bullmqSink({ connection });
for (const { id, event, error, attempts } of await sink.failed()) {
  console.log(`${id} ${event.type} failed ${attempts} times, last with ${error}`);
  if (process.argv[2] === "replay") await sink.replay(id);
}
await sink.close();
