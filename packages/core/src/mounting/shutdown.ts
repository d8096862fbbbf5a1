/** The part of an `http.Server` or `https.Server` that a shutdown uses. */
export interface HttpServer {
  readonly listening: boolean;
  keepAliveTimeout: number;
  prependListener(event: "request", listener: (request: unknown, reply: HttpReply) => void): unknown;
  close(onClosed: () => void): unknown;
  closeAllConnections(): void;
}

/** The part of a `ServerResponse` that a shutdown uses. */
interface HttpReply {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** A receiver, or a webhook with its receiver. */
export type Closable = { close(): Promise<void> } | { readonly receiver: { close(): Promise<void> } };

/** How long `shutdownGracefully` waits. */
export interface ShutdownOptions {
  /**
   * Seconds until connections that are still open are cut, from 0 to 3600. Default 10. Choose more than
   * the longest listener takes, and less than the time after which the process is killed.
   */
  readonly timeout?: number | undefined;
}

/** A longer shutdown is a mistake in the unit. In seconds. */
const TIMEOUT_MAX = 3_600;

/**
 * Shuts a `node:http` server down without cutting off a delivery. It
 *
 * 1. stops accepting connections, and closes idle ones;
 * 2. answers new deliveries on open connections with 503, so that the provider redelivers;
 * 3. waits until the deliveries in flight, and all other requests, have their answers;
 * 4. closes the connections that are left.
 *
 * After `timeout` it cuts everything that is still open. Resolves when the server has shut down; it
 * does not stop a listener that hangs.
 *
 * Call `trackReplies(server)` when the server starts. Without that call this function does not know the
 * requests that were in flight before it. Their answers then lack `Connection: close`, and a connection
 * on which nothing was ever sent stays open until `timeout`.
 *
 * @param receivers The receivers or webhooks that the server serves.
 * @throws TypeError for a `timeout` that cannot work.
 */
export async function shutdownGracefully(
  server: HttpServer,
  receivers: readonly Closable[],
  options: ShutdownOptions = {},
): Promise<void> {
  const { timeout = 10 } = options;
  if (!(typeof timeout === "number" && timeout >= 0 && timeout <= TIMEOUT_MAX)) {
    throw new TypeError(`timeout must be a number of seconds, from 0 to ${TIMEOUT_MAX}, not ${timeout}.`);
  }
  const wasTracked = tracked.has(server);
  trackReplies(server);
  const replies = tracked.get(server) ?? new Set();

  const closed = new Promise<void>((resolve) => server.close(resolve));
  const receiversClosed = receivers.map((each) => ("receiver" in each ? each.receiver : each).close());
  for (const reply of replies) announceEnd(reply);
  // In milliseconds. Node closes a connection without `Connection: close` this soon after its answer.
  server.keepAliveTimeout = 1;

  async function finish(): Promise<void> {
    await Promise.all(receiversClosed);
    // The iteration also reaches replies that join the set meanwhile.
    for (const reply of replies) await new Promise<void>((resolve) => reply.once("close", resolve));
    // Nothing is in flight, so only connections without a request are left. Node counts them as active.
    if (wasTracked) server.closeAllConnections();
    await closed;
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  const cut = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      server.closeAllConnections();
      resolve();
    }, timeout * 1000);
  });
  await Promise.race([finish(), cut]);
  clearTimeout(timer);
}

/** Replies of each server that are not completely written. */
const tracked = new WeakMap<HttpServer, Set<HttpReply>>();

/**
 * Keeps track of a server's unwritten replies for `shutdownGracefully`, and returns the server. Call it
 * before the first request. A second call does nothing.
 */
export function trackReplies<Server extends HttpServer>(server: Server): Server {
  if (tracked.has(server)) return server;
  const replies = new Set<HttpReply>();
  tracked.set(server, replies);
  // Before the app's own listener, which may send the headers at once.
  server.prependListener("request", (_request, reply) => {
    replies.add(reply);
    reply.once("close", () => replies.delete(reply));
    if (!server.listening) announceEnd(reply);
  });
  return server;
}

/** Tells the sender not to put its next delivery on this connection, which is about to end. */
function announceEnd(reply: HttpReply): void {
  if (!reply.headersSent) reply.setHeader("connection", "close");
}
