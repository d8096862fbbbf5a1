import type { Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/fastify";
import fastify from "fastify";

export interface AppOptions {
  /** Without one, there is no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** How far a delivery's time may be from the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Where the lines go that the listeners print. */
  readonly log?: (line: string) => void;
}

export async function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, ...webhookOptions } = options;
  // app.close() is to end connections that are kept alive, too.
  const app = fastify({ forceCloseConnections: true });
  await app.register(tolokaWebhook, { secret, ...webhookOptions });

  app.toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  app.toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  app.toloka.on("DYNAMIC_OVERLAP_COMPLETED", ({ type, data }) =>
    log(`${type} ${data.task_id}, ${data.confidence}`),
  );
  app.toloka.on("TEST_EVENT", ({ type, data }) => log(`${type} ${data.project_id}`));
  app.toloka.onUnrecognized(({ type, problems }) => log(["unrecognized", type, ...problems].join(" ")));
  app.toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  // For a server that is to end: close() of each resolves when what was begun has its reply.
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
