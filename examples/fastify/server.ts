import { createApp } from "./app.js";

// TOLERANCE is in seconds. A large one lets a delivery in that was signed long ago, such as the
// documented example: never do this where anyone else can send.
const { PORT = "3000", TOLERANCE = "300", TOLOKA_SECRET } = process.env;

const app = await createApp(TOLOKA_SECRET, { tolerance: Number(TOLERANCE) });
console.log(`Listening on ${await app.listen({ host: "127.0.0.1", port: Number(PORT) })}`);

const stop = () => void app.close();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
