import http from "node:http";
import type { DeliveryRecord, ReceivedEvent, Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { type Logger, pino } from "pino";

export interface AppOptions {
  /** Without a secret the app has no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** Largest accepted difference between a delivery's time and the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Default: writes JSON lines to the standard output. */
  readonly logger?: Logger;
}

export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { logger = pino(), prolificSecret, ...others } = options;
  const webhookOptions = {
    ...others,
    observe: (record: DeliveryRecord) => logger[levelOf(record)](record, "delivery"),
  };
  /** Logs a listener's error in full, with whatever the listener put into it. */
  const logError = (error: unknown, { id, type }: ReceivedEvent) =>
    logger.error({ err: error, event: { id, type } }, "event failed");
  const toloka = tolokaWebhook(secret, webhookOptions);

  // The delivery's line has the event's id, too. No line has its data.
  toloka.on("POOL_CLOSED", ({ id, type }) => logger.info({ event: { id, type } }, "a pool closed"));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ id, type }) => logger.info({ event: { id, type } }, "an assignment"));
  // No onUnrecognized listener: an event whose data does not fit its type then fails and is logged.
  toloka.onError(logError);

  // The server closes these when it shuts down.
  const receivers: Pick<Receiver, "close">[] = [toloka.receiver];
  const webhooks = new Map<string | undefined, http.RequestListener>();
  if (prolificSecret !== undefined) {
    const prolific = prolificWebhook(prolificSecret, webhookOptions);
    prolific.onAny(({ id, type }) => logger.info({ event: { id, type } }, "from Prolific"));
    prolific.onError(logError);
    webhooks.set("/prolific-webhook", prolific);
    receivers.push(prolific.receiver);
  }

  const app = http.createServer((request, response) => {
    (webhooks.get(request.url) ?? toloka)(request, response);
  });
  return { app, receivers };
}

/** The sender's mistakes are warnings. Failures on this side, which the provider redelivers, are errors. */
function levelOf({ status }: DeliveryRecord): "info" | "warn" | "error" {
  return status < 400 ? "info" : status < 500 ? "warn" : "error";
}
