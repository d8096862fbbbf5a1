import { createApp } from "./app.js";

const { TOLOKA_SECRET, PROLIFIC_SECRET: prolificSecret, DATABASE_URL: databaseUrl } = process.env;
if (databaseUrl === undefined) {
  throw new Error("Set DATABASE_URL. Without one, server.ts works, too: one process has the folder.");
}

const { sink, work } = createApp(TOLOKA_SECRET, { prolificSecret, databaseUrl });
/** Begins no more; what was begun is handled to its end, and that is stored. Then the process ends by itself. */
const stop = () => sink.close();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

work();
console.log("Working");
