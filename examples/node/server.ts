import http from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, shutdownGracefully, tolokaWebhook, trackReplies } from "@crowdhook/node";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
const toloka = tolokaWebhook(TOLOKA_SECRET);
toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
const prolific = prolificWebhook(PROLIFIC_SECRET);
prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));

const server = http.createServer(async (request, response) => {
  if (request.url === "/prolific-webhook") return prolific(request, response);
  if (request.url !== "/echo") return toloka(request, response);
  // Danger: `json` has no size limit. It throws for invalid JSON.
  const body = await json(request).catch(() => null);
  response.setHeader("content-type", "application/json").end(JSON.stringify({ echo: body }));
});
trackReplies(server);
const port = () => (server.address() as AddressInfo).port;
server.listen(Number(PORT), "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${port()}`));
const stop = () => void shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
process.once("SIGINT", stop).once("SIGTERM", stop);
