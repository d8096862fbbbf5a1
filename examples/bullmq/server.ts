import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createApp } from "./app.js";

// TOLERANCE is in seconds. A large one lets a delivery in that was signed long ago, such as the
// documented example: never do this where anyone else can send.
const { PORT = "3000", TOLERANCE = "300", TOLOKA_SECRET, PROLIFIC_SECRET: prolificSecret } = process.env;
const { REDIS_URL: redisUrl } = process.env;

const tolerance = Number(TOLERANCE);
const { app, receivers, sink } = createApp(TOLOKA_SECRET, { prolificSecret, tolerance, redisUrl });
const server = app.listen(Number(PORT), "127.0.0.1");

server.on("listening", () => {
  const address = server.address();
  console.log(`Listening on http://127.0.0.1:${typeof address === "object" ? address?.port : PORT}`);
});

/** Replies that are not written to their end. */
const replies = new Set<ServerResponse>();
server.prependListener("request", (_request, reply: ServerResponse) => {
  replies.add(reply.once("close", () => replies.delete(reply)));
  if (!server.listening) reply.setHeader("connection", "close");
});

/** Answers what was accepted; then nothing holds the process, and it ends by itself. */
async function stop() {
  server.close(); // no new connections, and those that are idle end
  for (const reply of replies) if (!reply.headersSent) reply.setHeader("connection", "close");
  // A sender that does not finish its request must not hold the process.
  setTimeout(() => server.closeAllConnections(), 20_000).unref();
  await Promise.all(receivers.map((receiver) => receiver.close())); // every delivery has its reply,
  for (const reply of replies) await once(reply, "close"); // and that is written
  server.closeAllConnections(); // those on which nothing was asked
  await sink.close();
}
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
