import { Redis, type RedisOptions } from "ioredis";

export interface Connection {
  readonly client: Redis;
  /** How many times the client has connected. */
  readonly times: number;
  /** Gives up the current connection and opens another. Does nothing if it is already being given up. */
  reconnect(): void;
  /** Ends the client and all duplicates that BullMQ made. Resolves when their sockets are closed. */
  end(): Promise<void>;
}

/**
 * Opens a connection that reconnects until `end`.
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
    // BullMQ expects replies in this form.
    replyMapping: "legacy",
    retryStrategy: (times: number) => Math.min(times * 100, 1_000),
    reconnectOnError: isDemoted,
    // A frozen server does not close its side of the connection.
    disconnectTimeout: 500,
  } as const;
  const clients: Redis[] = [];
  let times = 0;
  /** The value of `times` at which `reconnect` was called last. */
  let givenUp = 0;

  function adopt(client: Redis): Redis {
    clients.push(client);
    client.on("error", onError);
    // Every waiting command adds a listener, and so does BullMQ: the number is no leak.
    client.setMaxListeners(Number.POSITIVE_INFINITY);
    const { disconnect, duplicate } = client;
    client.duplicate = (override) => adopt(duplicate.call(client, override) as Redis) as never;
    client.disconnect = (reconnect = false) => {
      // ioredis 6 never ends a client that waits to reconnect, and never rejects its commands.
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
    reconnect() {
      // ioredis stays "ready" until the socket has closed, and adds a listener to the socket at each call.
      if (givenUp === times) return;
      givenUp = times;
      client.disconnect(true);
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

/**
 * Returns whether the server answers as a replica. After a failover the old primary can stay up as one: its
 * connections stay open, and every write fails. A new connection can reach the new primary.
 */
function isDemoted(error: Error): boolean {
  // UNBLOCKED: the server became a replica while a blocking command waited.
  return /^(?:READONLY|UNBLOCKED) /.test(error.message);
}

/** Returns the error's code. A message may hold an address or a password. */
export function codeOf(error: unknown): string | undefined {
  const { code, message, previousErrors } = error as {
    code?: unknown;
    message?: unknown;
    previousErrors?: readonly unknown[];
  };
  if (typeof code === "string") return code;
  // Redis did not execute a transaction: take the error of the first command that it refused.
  const [refused] = previousErrors ?? [];
  if (refused !== undefined) return codeOf(refused);
  // Redis' own messages begin with a code, such as `OOM` or `NOAUTH`.
  return /^[A-Z]{3,}(?= )/.exec(String(message))?.[0];
}
