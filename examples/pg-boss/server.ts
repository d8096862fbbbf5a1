import http from "node:http";
import type { AddressInfo } from "node:net";
import { shutdownGracefully, trackReplies } from "@crowdhook/node";
import { prolific, sink, toloka, work } from "./app.js";

const { PORT = "3000", DATABASE_URL } = process.env;
// On PostgreSQL, worker.ts runs the listeners.
if (DATABASE_URL === undefined) work();

const server = http.createServer((request, response) => {
  (request.url === "/prolific-webhook" ? prolific : toloka)(request, response);
});
trackReplies(server);
const port = () => (server.address() as AddressInfo).port;
server.listen(Number(PORT), "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${port()}`));

async function stop() {
  await shutdownGracefully(server, [toloka, prolific], { timeout: 20 });
  await sink.close(); // waits for the listeners that are running
}
process.once("SIGINT", stop).once("SIGTERM", stop);
