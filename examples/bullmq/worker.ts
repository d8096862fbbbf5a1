import { sink, work } from "./app.js";

work();
console.log("Working");
// Waits for the listeners that are running. Then nothing holds the process, and it ends.
const stop = () => void sink.close();
process.once("SIGINT", stop).once("SIGTERM", stop);
