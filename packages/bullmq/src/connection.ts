import { kindOf } from "@crowdhook/core/sink";
import { Redis, type RedisOptions } from "ioredis";

export interface Connection {
  readonly client: Redis;
  /** How often it has been made. */
  readonly times: number;
  /** Ends it, and all copies that BullMQ made of it. Resolves when their sockets are closed. */
  end(): Promise<void>;
}

/**
 * A connection that is made anew for as long as it is not told to end.
 *
 * @param target A URL, or ioredis' options.
 */
export function connect(
  target: string | RedisOptions,
  options: RedisOptions,
  onError: (error: unknown) => void,
): Connection {
  const settings = {
    ...(typeof target === "string" ? {} : target),
    ...options,
    // What BullMQ reads.
    replyMapping: "legacy",
    retryStrategy: (times: number) => Math.min(times * 100, 1_000),
    // A server that is frozen does not close its side.
    disconnectTimeout: 500,
  } as const;
  const clients: Redis[] = [];
  let times = 0;

  function adopt(client: Redis): Redis {
    clients.push(client);
    client.on("error", onError);
    // Every command that waits for the connection listens to it, and BullMQ adds to the number.
    client.setMaxListeners(Number.POSITIVE_INFINITY);
    const { disconnect, duplicate } = client;
    client.duplicate = (override) => adopt(duplicate.call(client, override) as Redis) as never;
    client.disconnect = (reconnect = false) => {
      // ioredis 6 leaves a client that waits for its next try waiting for good, and with it its commands.
      if (!reconnect && client.status === "reconnecting") client.connect().catch(() => {});
      disconnect.call(client, reconnect);
    };
    return client;
  }

  const client = adopt(typeof target === "string" ? new Redis(target, settings) : new Redis(settings));
  client.on("ready", () => times++);
  return {
    client,
    get times() {
      return times;
    },
    async end() {
      await Promise.all(clients.map(ended));
    },
  };
}

async function ended(client: Redis): Promise<void> {
  if (client.status === "end") return;
  await new Promise<void>((resolve) => {
    client.once("end", resolve);
    client.disconnect();
  });
}

/** What may be said of an error: its code or its kind. Its message may hold an address, or a password. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string") return code;
  // Redis' own errors begin with their code, such as `OOM` or `NOAUTH`.
  return /^[A-Z]{3,}(?= )/.exec(String(message))?.[0] ?? kindOf(error);
}
