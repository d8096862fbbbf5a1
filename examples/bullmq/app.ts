import http from "node:http";
import { bullmqSink } from "@crowdhook/bullmq";
import type { Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";

export interface AppOptions {
  /** Redis'. */
  readonly redisUrl?: string | undefined;
  /** Without one, there is no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** How far a delivery's time may be from the clock, in seconds. */
  readonly tolerance?: number;
  /** Where the lines go that the listeners print. */
  readonly log?: (line: string) => void;
}

/** What the process that receives and the one that works have in common: the sink, and what is to be done. */
export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, tolerance, redisUrl = "redis://127.0.0.1:6379" } = options;
  const sink = bullmqSink({ connection: redisUrl });
  const webhookOptions = { tolerance, sink };
  const toloka = tolokaWebhook(secret, webhookOptions);

  toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  toloka.onUnrecognized(({ type, problems }) => log(["unrecognized", type, ...problems].join(" ")));
  toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  // For a server that is to end: close() of each resolves when what was begun has its reply.
  const receivers: Pick<Receiver, "close">[] = [toloka.receiver];
  const webhooks = new Map<string | undefined, http.RequestListener>();
  const work = [() => sink.work(toloka.receiver, { concurrency: 10 })];
  if (prolificSecret !== undefined) {
    const prolific = prolificWebhook(prolificSecret, webhookOptions);
    prolific.onAny(({ type, data }) => log(`${type} ${data.resource_id}`));
    prolific.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));
    webhooks.set("/prolific-webhook", prolific);
    receivers.push(prolific.receiver);
    work.push(() => sink.work(prolific.receiver, { concurrency: 10 }));
  }

  const app = http.createServer((request, response) => {
    (webhooks.get(request.url) ?? toloka)(request, response);
  });
  return {
    app,
    receivers,
    sink,
    work() {
      for (const begin of work) begin();
    },
  };
}
