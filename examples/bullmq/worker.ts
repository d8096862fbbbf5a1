import { createApp } from "./app.js";

const { TOLOKA_SECRET, PROLIFIC_SECRET: prolificSecret, REDIS_URL: redisUrl } = process.env;

const { sink, work } = createApp(TOLOKA_SECRET, { prolificSecret, redisUrl });
/** Begins no more; what was begun is handled to its end, and that is stored. Then the process ends by itself. */
const stop = () => sink.close();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

work();
console.log("Working");
