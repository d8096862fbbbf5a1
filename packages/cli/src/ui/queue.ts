import { createInspector, type FailedEvents } from "@crowdhook/inspector/internal";
import { openOrderedSink, openRedisSink, openSink, reasonOf } from "../commands/queue.js";
import { Failure, print, printJson } from "../output.js";
import { serveUi } from "./server.js";

export interface QueueUiOptions {
  readonly schema: string;
  readonly queue: string;
  /** Whether the sink is in Redis. */
  readonly redis?: boolean;
  readonly port: number;
  readonly json?: boolean;
}

/** Shows the failed events of a sink in a page, until a signal arrives. */
export async function queueUi({ schema, queue, redis, port, json }: QueueUiOptions): Promise<boolean> {
  const sinks = redis
    ? [await openRedisSink({ queue })]
    : [await openSink({ schema, queue }), await openOrderedSink({ schema, queue })];
  try {
    // One after another, because the first one may create the tables.
    for (const sink of sinks)
      await sink.ready().catch((error) => Promise.reject(new Failure(reasonOf(error))));
    const inspector = createInspector({
      sources: [],
      sinks: [joined(sinks)],
      origin: () => "http://127.0.0.1",
    });
    const server = await serveUi(inspector, port);
    const signal = new Promise((resolve) => {
      process.once("SIGINT", resolve);
      process.once("SIGTERM", resolve);
    });
    const { url } = server;
    if (json) printJson({ ui: url });
    else print(`The failed events are at ${url}  Ctrl-C ends it.`);
    await signal;
    await server.close();
  } finally {
    await Promise.all(sinks.map((sink) => sink.close()));
  }
  return true;
}

/** Returns the failed events of several sinks as if they were in one. */
function joined(sinks: readonly FailedEvents[]): FailedEvents {
  const blocking = sinks.flatMap((sink) => sink.blockedKeys?.bind(sink) ?? []);
  return {
    async failed(filter) {
      const { limit } = Object(filter);
      const lists = await Promise.all(sinks.map((sink) => sink.failed(filter)));
      return lists
        .flat()
        .sort((a, b) => Number(a.failedAt) - Number(b.failedAt))
        .slice(0, limit);
    },

    replay: (async (target: string & object) => {
      const results: (boolean | number)[] = [];
      for (const sink of sinks) results.push(await sink.replay(target));
      return typeof target === "string"
        ? results.includes(true)
        : results.reduce((a, b) => Number(a) + Number(b));
    }) as FailedEvents["replay"],

    ...(blocking.length > 0 && {
      blockedKeys: async () => (await Promise.all(blocking.map((list) => list()))).flat(),
    }),
  };
}
