import { once } from "node:events";
import { withDeadline } from "@crowdhook/core/sink";
import type { Connection } from "./connection.js";

/** Runs commands on the connection. Rejects after `milliseconds`. */
export type Request = <T>(
  milliseconds: number,
  commands: (connection: Connection) => Promise<T>,
) => Promise<T>;

/**
 * Returns a function that sends requests on one connection, opened at the first request. Its errors
 * hold a code and no message of Redis or ioredis, which may name an address.
 */
export function createRequests(open: () => Connection, codeOf: (error: unknown) => string): Request {
  let opened: Connection | undefined;

  return async (milliseconds, commands) => {
    opened ??= open();
    const connection = opened;
    const { client } = connection;
    const late = new AbortController();
    let { times } = connection;
    const answer = async () => {
      if (client.status !== "ready") await once(client, "ready", { signal: late.signal });
      times = connection.times;
      return commands(connection);
    };
    try {
      return await withDeadline(milliseconds, answer(), () => {
        late.abort();
        throw late.signal.reason;
      });
    } catch (error) {
      // Reconnect: the next connection may reach a server that answers. BullMQ also loads its scripts
      // again then. In a transaction it would not, even if the server has forgotten them.
      if (client.status === "ready" && connection.times === times) connection.reconnect();
      if (late.signal.aborted) throw failure("no answer in time", "TIMEOUT");
      const code = codeOf(error);
      throw failure(code, code);
    }
  };
}

function failure(reason: string, code: string): Error {
  return Object.assign(new Error(`Redis failed (${reason}).`), { code });
}
