import type { Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/fastify";
import fastify from "fastify";

export interface AppOptions {
  /** Without a secret the app has no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** Largest accepted difference between a delivery's time and the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Prints a listener's line. Default: `console.log`. */
  readonly log?: (line: string) => void;
}

export async function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, ...webhookOptions } = options;
  const app = fastify();
  await app.register(tolokaWebhook, { secret, ...webhookOptions });

  app.toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  app.toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  app.toloka.on("DYNAMIC_OVERLAP_COMPLETED", ({ type, data }) =>
    log(`${type} ${data.task_id}, ${data.confidence}`),
  );
  app.toloka.on("TEST_EVENT", ({ type, data }) => log(`${type} ${data.project_id}`));
  app.toloka.onUnrecognized(({ type, problems }) => log(["unrecognized", type, ...problems].join(" ")));
  app.toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  // The server closes these when it shuts down.
  const receivers: Pick<Receiver, "close">[] = [app.toloka.receiver];
  if (prolificSecret !== undefined) {
    await app.register(prolificWebhook, { secret: prolificSecret, ...webhookOptions });
    app.prolific.onAny(({ type, data }) => log(`${type} ${data.resource_id}`));
    app.prolific.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));
    receivers.push(app.prolific.receiver);
  }

  app.post("/echo", async (request) => ({ echo: request.body }));
  return { app, receivers };
}
