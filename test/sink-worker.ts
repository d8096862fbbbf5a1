/**
 * One process of sink-processes.test.ts: receives, works, or lists and replays what failed. It writes
 * down what its listeners do in a journal that outlives it, and ends on SIGTERM.
 */
import { once } from "node:events";
import { appendFileSync, openSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type BullmqSinkOptions, bullmqSink } from "@crowdhook/bullmq";
import { tolokaWebhook } from "@crowdhook/node";
import { type PgBossSinkOptions, pgBossSink } from "@crowdhook/pg-boss";
import { seededRandom } from "./seeded-random.js";

export type SinkOptions =
  | { readonly engine: "pg-boss"; readonly options: PgBossSinkOptions }
  | { readonly engine: "bullmq"; readonly options: BullmqSinkOptions };

export interface WorkerOptions {
  readonly sink: SinkOptions;
  /** A file that all processes of a test append to. */
  readonly journal: string;
  readonly secret: string;
  readonly seed?: number;
  readonly receives?: boolean;
  /** How many events are handled at once, if any. */
  readonly works?: number;
  /** How long a listener takes, in milliseconds: from, to. */
  readonly takes?: readonly [number, number];
  /** How many events fail at their first attempt, of one. */
  readonly failing?: number;
  /** The type of event that always fails. */
  readonly poison?: string;
  /** Prints what failed, has it replayed, and ends. */
  readonly replays?: boolean;
}

/** What a line of the journal says of an event: `<when> <note> <event> <attempt>`. */
export type Note = "begun" | "succeeded" | "failed" | "aborted";

const options: WorkerOptions = JSON.parse(process.argv[2] ?? "");
const { takes: [from, to] = [0, 0], failing = 0 } = options;
const random = seededRandom(options.seed ?? 0);

const journal = openSync(options.journal, "a");
/** Written to the file when it returns, so that no SIGKILL can take it back. */
function note(what: Note, event: string, attempt: number | undefined): void {
  appendFileSync(journal, `${Date.now()} ${what} ${event} ${attempt}\n`);
}

const sink =
  options.sink.engine === "bullmq" ? bullmqSink(options.sink.options) : pgBossSink(options.sink.options);
const webhook = tolokaWebhook(options.secret, { sink });
webhook.onError(() => {});
webhook.onAny(async ({ id, type }, { attempt, signal }) => {
  note("begun", id, attempt);
  signal.addEventListener("abort", () => note("aborted", id, attempt));
  await delay(from + random() * (to - from));
  if (type === options.poison || (attempt === 1 && random() < failing)) {
    note("failed", id, attempt);
    throw new RangeError("it was picked to fail");
  }
  note("succeeded", id, attempt);
});

if (options.replays) {
  const failed = await sink.failed();
  for (const { id } of failed) await sink.replay(id);
  await sink.close();
  console.log(JSON.stringify(failed));
} else {
  if (options.works) sink.work(webhook.receiver, { concurrency: options.works });
  const server = http.createServer(webhook);
  if (options.receives) await once(server.listen(0, "127.0.0.1"), "listening");
  process.once("SIGTERM", async () => {
    server.close();
    await webhook.receiver.close();
    server.closeAllConnections();
    await sink.close();
  });
  console.log((server.address() as AddressInfo | null)?.port ?? "It works.");
}
