import { createServer } from "node:http";
import { shutdownGracefully, trackReplies } from "@crowdhook/core/adapter";
import { getRequestListener } from "@hono/node-server";
import { createApp } from "./app.js";

// TOLERANCE is in seconds. A large one accepts old deliveries, such as the example in Toloka's
// documentation. It also accepts replayed deliveries, so never use a large one in production.
const { PORT = "3000", TOLERANCE = "300", TOLOKA_SECRET, PROLIFIC_SECRET: prolificSecret } = process.env;

// The webhook finds out at its first delivery, because builds import apps where no secret is set.
if (TOLOKA_SECRET === undefined) {
  throw new TypeError("The secret is undefined. Set the environment variable TOLOKA_SECRET.");
}

const { app, receivers } = createApp(TOLOKA_SECRET, { prolificSecret, tolerance: Number(TOLERANCE) });
const server = trackReplies(createServer(getRequestListener(app.fetch)));
server.listen(Number(PORT), "127.0.0.1");

server.on("listening", () => {
  const address = server.address();
  console.log(`Listening on http://127.0.0.1:${typeof address === "object" ? address?.port : PORT}`);
});

/** Answers the deliveries in flight. Then nothing holds the process, and it ends by itself. */
const stop = () => void shutdownGracefully(server, receivers, { timeout: 20 });
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
