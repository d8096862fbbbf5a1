import http from "node:http";
import https from "node:https";
import { headersOf } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import { Failure } from "../output.js";

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
  /** From the start of the request to the end of the answer. */
  readonly milliseconds: number;
}

/** In bytes. Receivers answer with less than a kilobyte. */
const ANSWER_MAX = 10 * 1024 * 1024;

/** Headers that hold between two hosts only. Source: RFC 9110, section 7.6.1. */
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
/** Headers that follow from the URL and the body of a request. */
const REQUEST_HEADERS = new Set(["host", "content-length", "expect"]);

export function linesOf(rawHeaders: readonly string[]): HeaderLines {
  const lines: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    lines.push([rawHeaders[i] ?? "", rawHeaders[i + 1] ?? ""]);
  return lines;
}

/** Returns the headers that may be passed on to another host. */
export function endToEnd(lines: HeaderLines): HeaderLines {
  const named = (headersOf(lines).get("connection") ?? "").toLowerCase().split(/\s*,\s*/);
  return lines.filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !named.includes(name.toLowerCase()));
}

/** Returns a pool of keep-alive connections. */
export function agentFor({ protocol }: URL, maxSockets: number): http.Agent {
  return new (protocol === "https:" ? https : http).Agent({ keepAlive: true, maxSockets });
}

/**
 * Sends exactly these bytes and headers. Returns the answer, whatever its status. `timeout` is in seconds
 * and covers the whole answer.
 */
export async function exchange(
  outgoing: Outgoing,
  { agent, timeout }: { readonly agent: http.Agent; readonly timeout: number },
): Promise<Answer> {
  const { method, url, headers, body } = outgoing;
  const { request } = url.protocol === "https:" ? https : http;
  const lines = endToEnd(headers).filter(([name]) => !REQUEST_HEADERS.has(name.toLowerCase()));
  const flat = [["host", url.host], ...lines, ["content-length", String(body.byteLength)]].flat();
  const began = performance.now();
  const signal = AbortSignal.timeout(timeout * 1000);
  const once = () =>
    new Promise<http.IncomingMessage>((resolve, reject) => {
      const sent = request(url, { method, agent, headers: flat, signal });
      sent.on("response", resolve);
      sent.on("error", (error) => {
        // The server closed a kept connection just as this request used it: try a new one.
        if (sent.reusedSocket && "code" in error && error.code === "ECONNRESET") once().then(resolve, reject);
        else reject(error);
      });
      sent.end(body);
    });
  const response = await once();
  const answered = await read(response).catch((error) => {
    // The response says only that it was cut off.
    throw signal.aborted ? signal.reason : error;
  });
  return {
    status: response.statusCode ?? 0,
    headers: linesOf(response.rawHeaders),
    body: answered,
    milliseconds: performance.now() - began,
  };
}

/** @throws AnswerTooLarge */
async function read(response: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += chunk.byteLength;
    // Leaving the loop closes the connection.
    if (size > ANSWER_MAX) throw new AnswerTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

class AnswerTooLarge extends Error {}

/** Returns why there was no answer, in a sentence. */
export function trouble(error: unknown, { host }: URL): Failure {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  if (error instanceof AnswerTooLarge) {
    return new Failure(`${host} answered with more than ${ANSWER_MAX / 2 ** 20} MiB.`);
  }
  if (name === "AbortError" || name === "TimeoutError")
    return new Failure(`${host} did not answer in time (--timeout).`);
  switch (code) {
    case "ECONNREFUSED":
      return new Failure(
        `Nothing listens at ${host}: the connection was refused. Is the app running, and is the port right?`,
      );
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new Failure(`The host ${host} was not found.`);
    case "ECONNRESET":
    case "EPIPE":
      return new Failure(`${host} closed the connection without an answer.`);
    default:
      return new Failure(`${host} could not be reached: ${code ?? message}.`);
  }
}
