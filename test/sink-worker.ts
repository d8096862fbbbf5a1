/**
 * One process of sink-processes.test.ts. It receives, works, or lists and replays failed events. It
 * records what its listeners do in a journal file, and ends on SIGTERM.
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
  /** The worker's concurrency. Without it the process runs no worker. */
  readonly works?: number;
  /** The shortest and the longest duration of a listener, in milliseconds. */
  readonly takes?: readonly [number, number];
  /** The share of events that fail at their first attempt, from 0 to 1. */
  readonly failing?: number;
  /** The type of event that always fails. */
  readonly poison?: string;
  /** Prints the failed events, replays them, and ends. */
  readonly replays?: boolean;
}

/** The notes of a journal, whose lines are `<when> <note> <event> <attempt>`. */
export type Note = "begun" | "succeeded" | "failed" | "aborted";

const options: WorkerOptions = JSON.parse(process.argv[2] ?? "");
const { takes: [from, to] = [0, 0], failing = 0 } = options;
const random = seededRandom(options.seed ?? 0);

const journal = openSync(options.journal, "a");
/** Writes synchronously, so that the line survives a SIGKILL. */
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
    throw new RangeError("This attempt was chosen to fail.");
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
  console.log((server.address() as AddressInfo | null)?.port ?? "ready");
}
