import { once } from "node:events";
import http, { type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

interface RecordedRequest {
  readonly method: string;
  /** Without the query and the base URL. */
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body; `undefined` if there was none. */
  readonly body: unknown;
}

export interface ApiResponse {
  readonly status: number;
  /** A string is sent as HTML, any other value as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Returns the response to send, or `undefined` if it handles the response itself. */
export type Handler = (
  request: RecordedRequest,
  response: ServerResponse,
) => ApiResponse | undefined | Promise<ApiResponse | undefined>;

export interface ApiServer {
  readonly baseUrl: string;
  readonly requests: RecordedRequest[];
  /** Each of the next requests takes the first of these instead of the server's own handler. */
  readonly nextHandlers: Handler[];
  /** Removes the recorded requests and returns one `GET /path` for each. */
  takeCalls(): string[];
  /** Restores the initial state between tests. */
  reset(): void;
  close(): Promise<void>;
}

/** Starts a server on loopback that records its requests. */
export async function startApiServer(handle: Handler): Promise<ApiServer> {
  const requests: RecordedRequest[] = [];
  const nextHandlers: Handler[] = [];
  const server = http.createServer(async (incoming, response) => {
    const url = new URL(incoming.url ?? "", "http://localhost");
    const raw = await text(incoming);
    const request: RecordedRequest = {
      method: incoming.method ?? "",
      path: url.pathname.replace(/^\/api\/v1/, ""),
      query: Object.fromEntries(url.searchParams),
      headers: incoming.headers,
      body: raw === "" ? undefined : JSON.parse(raw),
    };
    requests.push(request);
    const handler = nextHandlers.shift() ?? handle;
    const answer = await (async () => handler(request, response))().catch(
      (error): ApiResponse => ({ status: 500, body: `The test server failed: ${error}` }),
    );
    if (answer && !response.destroyed) send(response, answer);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`,
    requests,
    nextHandlers,
    takeCalls: () => requests.splice(0).map(({ method, path }) => `${method} ${path}`),
    reset() {
      requests.length = 0;
      nextHandlers.length = 0;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function send(response: ServerResponse, { status, body, headers = {} }: ApiResponse): void {
  const type = typeof body === "string" ? "text/html; charset=utf-8" : "application/json";
  response.writeHead(status, { ...(body !== undefined && { "content-type": type }), ...headers });
  response.end(body === undefined || typeof body === "string" ? body : JSON.stringify(body));
}
