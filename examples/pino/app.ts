import http from "node:http";
import type { DeliveryRecord, ReceivedEvent, Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { type Logger, pino } from "pino";

export interface AppOptions {
  /** Without one, there is no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** How far a delivery's time may be from the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Default: JSON lines on the standard output. */
  readonly logger?: Logger;
}

export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { logger = pino(), prolificSecret, ...others } = options;
  const webhookOptions = {
    ...others,
    observe: (record: DeliveryRecord) => logger[levelOf(record)](record, "delivery"),
  };
  /** A listener's error is logged as it is: what it may hold is up to the listener. */
  const logError = (error: unknown, { id, type }: ReceivedEvent) =>
    logger.error({ err: error, event: { id, type } }, "event failed");
  const toloka = tolokaWebhook(secret, webhookOptions);

  // The event's id is in the delivery's line, too; its data is in none.
  toloka.on("POOL_CLOSED", ({ id, type }) => logger.info({ event: { id, type } }, "a pool closed"));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ id, type }) => logger.info({ event: { id, type } }, "an assignment"));
  // Without onUnrecognized: an event whose data does not fit its type fails, and so is seen.
  toloka.onError(logError);

  // For a server that is to end: close() of each resolves when what was begun has its reply.
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

/** What is the sender's to mend is a warning; what comes again because this side failed is an error. */
function levelOf({ status }: DeliveryRecord): "info" | "warn" | "error" {
  return status < 400 ? "info" : status < 500 ? "warn" : "error";
}
