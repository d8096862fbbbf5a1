import http from "node:http";
import type { AddressInfo } from "node:net";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import {
  type DeliveryRecord,
  prolificWebhook,
  type ReceivedEvent,
  shutdownGracefully,
  tolokaWebhook,
  trackReplies,
} from "@crowdhook/node";
import { pino } from "pino";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
const logger = pino();

/** The sender's mistakes are warnings. Failures on this side, which the provider redelivers, are errors. */
const levelOf = ({ status }: DeliveryRecord) => (status < 400 ? "info" : status < 500 ? "warn" : "error");
const observe = (record: DeliveryRecord) => logger[levelOf(record)](record, "delivery");
/** Logs a listener's error in full, with whatever the listener put into it. */
const logError = (error: unknown, { id, type }: ReceivedEvent) =>
  logger.error({ err: error, event: { id, type } }, "event failed");

// The delivery's line has the event's id, too. No line has its data.
const toloka = tolokaWebhook(TOLOKA_SECRET, { observe });
toloka.on("POOL_CLOSED", ({ id, type }) => logger.info({ event: { id, type } }, "a pool closed"));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ id, type }) => logger.info({ event: { id, type } }, "an assignment"));
// No onUnrecognized listener: an event whose data does not fit its type then fails and is logged.
toloka.onError(logError);
const prolific = prolificWebhook(PROLIFIC_SECRET, { observe });
prolific.onAny(({ id, type }) => logger.info({ event: { id, type } }, "from Prolific"));
prolific.onError(logError);

const server = http.createServer((request, response) => {
  (request.url === "/prolific-webhook" ? prolific : toloka)(request, response);
});
trackReplies(server);
const port = () => (server.address() as AddressInfo).port;
server.listen(Number(PORT), "127.0.0.1", () => logger.info(`Listening on http://127.0.0.1:${port()}`));
const stop = () => void shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
process.once("SIGINT", stop).once("SIGTERM", stop);
