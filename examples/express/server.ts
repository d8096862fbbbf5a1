import type { AddressInfo } from "node:net";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, shutdownGracefully, tolokaWebhook, trackReplies } from "@crowdhook/express";
import express from "express";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
const toloka = tolokaWebhook(TOLOKA_SECRET);
toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
const prolific = prolificWebhook(PROLIFIC_SECRET);
prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));

// The webhooks come first: express.json() would use up the signed bytes.
const app = express().use(toloka).use(prolific).use(express.json());
app.post("/echo", (request, response) => void response.json({ echo: request.body }));

const server = trackReplies(app.listen(Number(PORT), "127.0.0.1"));
const port = () => (server.address() as AddressInfo).port;
server.on("listening", () => console.log(`Listening on http://127.0.0.1:${port()}`));
const stop = () => void shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
process.once("SIGINT", stop).once("SIGTERM", stop);
