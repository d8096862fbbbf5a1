import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, shutdownGracefully, tolokaWebhook, trackReplies } from "@crowdhook/fastify";
import fastify from "fastify";

const { PORT = "3000", TOLOKA_SECRET, PROLIFIC_SECRET } = process.env;
const app = fastify();
await app.register(tolokaWebhook, { secret: TOLOKA_SECRET });
app.toloka.on("POOL_CLOSED", ({ type, data }) => console.log(type, data.pool_id, data.close_reason));
app.toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => console.log(type, data.assignment_id));
app.toloka.onError((error, { type, id }) => console.error("failed", type, id, error));
await app.register(prolificWebhook, { secret: PROLIFIC_SECRET });
app.prolific.on("submission.status.change", ({ type, data }) => console.log(type, data.resource_id));
app.post("/echo", async (request) => ({ echo: request.body }));

trackReplies(app.server);
const webhooks = [app.toloka, app.prolific];
app.addHook("preClose", () => shutdownGracefully(app.server, webhooks, { timeout: 20 }));
const stop = () => void app.close();
process.once("SIGINT", stop).once("SIGTERM", stop);
console.log(`Listening on ${await app.listen({ host: "127.0.0.1", port: Number(PORT) })}`);
