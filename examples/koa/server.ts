import { createApp } from "./app.js";

// TOLERANCE is in seconds. A large one lets a delivery in that was signed long ago, such as the
// documented example: never do this where anyone else can send.
const { PORT = "3000", TOLERANCE = "300", TOLOKA_SECRET } = process.env;

const app = createApp(TOLOKA_SECRET, { tolerance: Number(TOLERANCE) });
const server = app.listen(Number(PORT), "127.0.0.1");

server.on("listening", () => {
  const address = server.address();
  console.log(`Listening on http://127.0.0.1:${typeof address === "object" ? address?.port : PORT}`);
});

const stop = () => server.close();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
