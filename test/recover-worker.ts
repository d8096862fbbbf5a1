/** A process of recover-kills.test.ts that recovers, and is killed. It prints a line for each batch. */
import { bullmqSink } from "@crowdhook/bullmq";
import { createReceiver } from "@crowdhook/core";
import { toloka } from "@crowdhook/core/toloka";
import { redisClaims } from "@crowdhook/redis";
import { createTolokaSubscriptions } from "@crowdhook/subscriptions";
import { Redis } from "ioredis";

export interface WorkerOptions {
  readonly redis: string;
  readonly queue: string;
  readonly api: string;
  /** The difference between the receiver's clock and this machine's, in milliseconds. */
  readonly ahead: number;
}

const { redis, queue, api, ahead }: WorkerOptions = JSON.parse(process.argv[2] ?? "");
const client = new Redis(redis);
const sink = bullmqSink({ connection: redis, queue });
const receiver = createReceiver(toloka, {
  secret: "unused",
  recoverable: true,
  clock: () => Date.now() + ahead,
  claims: redisClaims({ sendCommand: (command, ...args) => client.call(command, ...args) as never }),
  sink,
});
const account = createTolokaSubscriptions({ apiKey: "test-key", baseUrl: api });
await account.recover(receiver, { onProgress: () => console.log("batch") });
await sink.close();
client.disconnect();
