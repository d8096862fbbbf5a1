import { shutdownGracefully, trackReplies } from "@crowdhook/fastify";
import { createApp } from "./app.js";

// TOLERANCE is in seconds. A large one accepts old deliveries, such as the example in Toloka's
// documentation. It also accepts replayed deliveries, so never use a large one in production.
const { PORT = "3000", TOLERANCE = "300", TOLOKA_SECRET, PROLIFIC_SECRET: prolificSecret } = process.env;

const { app, receivers } = await createApp(TOLOKA_SECRET, { prolificSecret, tolerance: Number(TOLERANCE) });

trackReplies(app.server);
// Answers the deliveries in flight. Then nothing holds the process, and it ends by itself.
app.addHook("preClose", () => shutdownGracefully(app.server, receivers, { timeout: 20 }));
const stop = () => void app.close();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

console.log(`Listening on ${await app.listen({ host: "127.0.0.1", port: Number(PORT) })}`);
