import http from "node:http";
import type { AddressInfo } from "node:net";
import { prolific as prolificProvider } from "@crowdhook/core/prolific";
import { ASSIGNMENT_EVENT_TYPES, toloka as tolokaProvider } from "@crowdhook/core/toloka";
import { prolificWebhook, shutdownGracefully, tolokaWebhook, trackReplies } from "@crowdhook/node";
import { countDeliveries, sendMetrics } from "./metrics.js";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
const toloka = tolokaWebhook(TOLOKA_SECRET, { observe: countDeliveries(tolokaProvider.eventTypes) });
toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
// No onUnrecognized listener: an event whose data does not fit its type then fails and is counted.
toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
const prolific = prolificWebhook(PROLIFIC_SECRET, { observe: countDeliveries(prolificProvider.eventTypes) });
prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));

const server = http.createServer((request, response) => {
  // Do not expose this path to the internet together with the webhooks.
  if (request.method === "GET" && request.url === "/metrics") return void sendMetrics(response);
  (request.url === "/prolific-webhook" ? prolific : toloka)(request, response);
});
trackReplies(server);
const port = () => (server.address() as AddressInfo).port;
server.listen(Number(PORT), "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${port()}`));
const stop = () => void shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
process.once("SIGINT", stop).once("SIGTERM", stop);
