import http from "node:http";
import https from "node:https";
import { buffer } from "node:stream/consumers";
import type { DeliveryHeaders } from "@crowdhook/core";
import { Failure, UsageError } from "./output.js";

/** Name and value as on the wire, in their order. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

export interface Outgoing {
  readonly method: string;
  readonly url: URL;
  readonly headers: HeaderLines;
  readonly body: Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: Buffer;
  /** From the beginning of the request to the end of the answer. */
  readonly milliseconds: number;
}

/** Those between two hosts, which no one passes on. Source: RFC 9110, section 7.6.1. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Those that follow from where a request goes and what is in it. */
const OF_A_REQUEST = new Set(["host", "content-length", "expect"]);

export function linesOf(rawHeaders: readonly string[]): HeaderLines {
  const lines: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    lines.push([rawHeaders[i] ?? "", rawHeaders[i + 1] ?? ""]);
  return lines;
}

export function headersOf(lines: HeaderLines): DeliveryHeaders {
  return {
    get(wanted) {
      const values = lines.filter(([name]) => name.toLowerCase() === wanted.toLowerCase());
      return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
    },
  };
}

/** What may be passed on. */
export function endToEnd(lines: HeaderLines): HeaderLines {
  const named = (headersOf(lines).get("connection") ?? "").toLowerCase().split(/\s*,\s*/);
  return lines.filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !named.includes(name.toLowerCase()));
}

/** A keep-alive connection pool for a URL. */
export function agentFor({ protocol }: URL, maxSockets: number): http.Agent {
  return new (protocol === "https:" ? https : http).Agent({ keepAlive: true, maxSockets });
}

/** Sends exactly these bytes and headers, and takes the answer, whatever its status. */
export async function exchange(
  outgoing: Outgoing,
  { agent, timeout }: { readonly agent: http.Agent; readonly timeout: number },
): Promise<Answer> {
  const { method, url, headers, body } = outgoing;
  const { request } = url.protocol === "https:" ? https : http;
  const lines = endToEnd(headers).filter(([name]) => !OF_A_REQUEST.has(name.toLowerCase()));
  const flat = [["host", url.host], ...lines, ["content-length", String(body.byteLength)]].flat();
  const began = performance.now();
  const once = () =>
    new Promise<http.IncomingMessage>((resolve, reject) => {
      const signal = AbortSignal.timeout(timeout * 1000);
      const sent = request(url, { method, agent, headers: flat, signal });
      sent.on("response", resolve);
      sent.on("error", (error) => {
        // The server closed a connection that it had kept just as it was used again: that is nobody's mistake.
        if (sent.reusedSocket && "code" in error && error.code === "ECONNRESET") once().then(resolve, reject);
        else reject(error);
      });
      sent.end(body);
    });
  const response = await once();
  const answered = await buffer(response);
  return {
    status: response.statusCode ?? 0,
    headers: linesOf(response.rawHeaders),
    body: answered,
    milliseconds: performance.now() - began,
  };
}

/** Why there was no answer, in a sentence. */
export function trouble(error: unknown, { host }: URL): Failure {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  if (name === "AbortError") return new Failure(`${host} did not answer in time (--timeout).`);
  switch (code) {
    case "ECONNREFUSED":
      return new Failure(
        `Nothing listens at ${host}: the connection was refused. Is the app running, and is the port right?`,
      );
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new Failure(`There is no host ${host}, as far as can be found out.`);
    case "ECONNRESET":
    case "EPIPE":
      return new Failure(`${host} closed the connection without an answer.`);
    default:
      return new Failure(`${host} could not be reached: ${code ?? message}.`);
  }
}

/**
 * The URL that an option gives, as a function of a delivery's own path, which it gets if it has none.
 *
 * @throws UsageError if it is none that can be used.
 */
export function endpoint(text: string, option: string): (path: string) => URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${option} must begin with http:// or https://, unlike ${JSON.stringify(text)}.`);
  }
  if (url.username || url.password)
    throw new UsageError(`${option} must not hold a user name or a password.`);
  if (url.pathname !== "/" || url.search !== "") return () => url;
  return (path) => {
    const own = new URL(url);
    // One by one: as a relative URL, a path that begins with two slashes would name another host.
    const [pathname = "", ...query] = path.split("?");
    own.pathname = pathname;
    own.search = query.join("?");
    return own;
  };
}
