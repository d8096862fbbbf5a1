import type { Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/fetch";
import { Hono } from "hono";

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

export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, ...webhookOptions } = options;
  const toloka = tolokaWebhook(secret, webhookOptions);

  toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  toloka.on("DYNAMIC_OVERLAP_COMPLETED", ({ type, data }) =>
    log(`${type} ${data.task_id}, ${data.confidence}`),
  );
  toloka.on("TEST_EVENT", ({ type, data }) => log(`${type} ${data.project_id}`));
  toloka.onUnrecognized(({ type, problems }) => log(["unrecognized", type, ...problems].join(" ")));
  toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  const app = new Hono();
  // The server closes these when it shuts down.
  const receivers: Pick<Receiver, "close">[] = [toloka.receiver];
  app.all("/toloka-webhook", (context) => toloka(context.req.raw));
  if (prolificSecret !== undefined) {
    const prolific = prolificWebhook(prolificSecret, webhookOptions);
    prolific.onAny(({ type, data }) => log(`${type} ${data.resource_id}`));
    prolific.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));
    app.all("/prolific-webhook", (context) => prolific(context.req.raw));
    receivers.push(prolific.receiver);
  }
  app.post("/echo", async (context) => context.json({ echo: await context.req.json() }));
  return { app, receivers };
}
