import { sink, work } from "./app.js";

if (process.env.DATABASE_URL === undefined) {
  throw new Error("Set DATABASE_URL. Without it, server.ts alone opens the folder and runs the listeners.");
}
work();
console.log("Working");
// Waits for the listeners that are running. Then nothing holds the process, and it ends.
const stop = () => void sink.close();
process.once("SIGINT", stop).once("SIGTERM", stop);
