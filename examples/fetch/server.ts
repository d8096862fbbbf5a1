import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { shutdownGracefully, trackReplies } from "@crowdhook/core/adapter";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/fetch";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
// Without a secret the fetch webhooks do not throw but answer 503, because builds run without secrets.
if (!TOLOKA_SECRET || !PROLIFIC_SECRET)
  throw new Error("A secret is undefined. Set TOLOKA_SECRET and PROLIFIC_SECRET.");
const toloka = tolokaWebhook(TOLOKA_SECRET);
toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
const prolific = prolificWebhook(PROLIFIC_SECRET);
prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));

const app = new Hono();
app.all("/toloka-webhook", (context) => toloka(context.req.raw));
app.all("/prolific-webhook", (context) => prolific(context.req.raw));
app.post("/echo", async (context) => context.json({ echo: await context.req.json() }));

const server = trackReplies(createServer(getRequestListener(app.fetch)));
const port = () => (server.address() as AddressInfo).port;
server.listen(Number(PORT), "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${port()}`));
const stop = () => void shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
process.once("SIGINT", stop).once("SIGTERM", stop);
