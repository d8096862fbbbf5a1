import { createInspector } from "@crowdhook/inspector/internal";
import { openSink } from "../commands/queue.js";
import { print, printJson } from "../output.js";
import { serveUi } from "./server.js";

export interface QueueUiOptions {
  readonly schema: string;
  readonly port: number;
  readonly json?: boolean;
}

/** Shows the failed events of the pg-boss sink in a page, until a signal arrives. */
export async function queueUi({ schema, port, json }: QueueUiOptions): Promise<boolean> {
  const sink = await openSink(schema);
  try {
    await sink.ready();
    const inspector = createInspector({ sources: [], sinks: [sink], origin: () => "http://127.0.0.1" });
    const server = await serveUi(inspector, port);
    const signal = new Promise((resolve) => {
      process.once("SIGINT", resolve);
      process.once("SIGTERM", resolve);
    });
    const url = server.url;
    if (json) printJson({ ui: url });
    else print(`The failed events are at ${url}  Ctrl-C ends it.`);
    await signal;
    await server.close();
  } finally {
    await sink.close();
  }
  return true;
}
