import http from "node:http";
import https from "node:https";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import tls from "node:tls";
import type { HeaderLines } from "./providers.js";

/** A request as it goes over the wire. */
export interface Outgoing {
  readonly method: string;
  /** In place of the endpoint's own. */
  readonly path?: string | undefined;
  /** All but `Host` and those that say how long the body is. */
  readonly headers: HeaderLines;
  readonly body: Uint8Array;
  /** Without a `Content-Length`. */
  readonly chunked?: boolean | undefined;
  /** Writes the body in so many pieces. Default 1. */
  readonly pieces?: number | undefined;
  /** Waits so many milliseconds before each piece but the first. */
  readonly pause?: number | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Its beginning, if it is very long. */
  readonly body: string;
}

/** How long one exchange may take, and who may end it earlier. */
export interface Limits {
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** There was no answer. The message says why, in words that follow "no answer: ". */
export class NoAnswer extends Error {
  constructor(
    message: string,
    readonly why: "late" | "refused" | "closed" | "unreachable",
  ) {
    super(message);
  }
}

/** So much of an answer is read, in bytes. */
const READ_MAX = 4 * 1024 * 1024;

/**
 * Sends a request on a connection of its own, and gives the answer, even one that comes while the body
 * is still being sent. Redirects are not followed.
 *
 * @throws NoAnswer
 */
export function exchange(url: URL, outgoing: Outgoing, limits: Limits): Promise<Answer> {
  const { method, path, headers, body, chunked } = outgoing;
  const length = chunked ? ["Transfer-Encoding", "chunked"] : ["Content-Length", String(body.byteLength)];
  return withinLimits(limits, (resolve, reject, onEnd) => {
    const { request } = url.protocol === "https:" ? https : http;
    const sent = request(path === undefined ? url : new URL(path, url), {
      method,
      agent: false,
      // One by one, so that they go out with the case and in the order that they have here.
      headers: [["Host", url.host], ...headers, length].flat(),
    });
    onEnd(() => sent.destroy());
    // Who answers early may close before it has read all. The answer is what counts.
    let isAnswered = false;
    sent.on("error", (error) => isAnswered || reject(noAnswer(error)));
    sent.on("response", (response) => {
      isAnswered = true;
      const read: Buffer[] = [];
      let size = 0;
      const end = () => {
        const body = Buffer.concat(read).subarray(0, READ_MAX).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      };
      response.on("data", (chunk: Buffer) => {
        read.push(chunk);
        size += chunk.byteLength;
        if (size >= READ_MAX) end();
      });
      // What was read of an answer that breaks off has its status, which is what counts.
      response.on("error", () => {}).on("close", end);
    });
    void write(sent, outgoing);
  });
}

async function write(sent: http.ClientRequest, { body, pieces = 1, pause: milliseconds }: Outgoing) {
  const size = Math.ceil(body.byteLength / pieces);
  for (let start = 0; start < body.byteLength && !sent.destroyed; start += size) {
    if (start > 0 && milliseconds) await pause(milliseconds);
    sent.write(body.subarray(start, start + size));
  }
  sent.end();
}

/** The beginning of a request, to be sent by `converse`. */
export function head(url: URL, { method, headers }: Outgoing, more: HeaderLines): string {
  const lines = [["Host", url.host], ...headers, ...more].map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/**
 * Writes bytes on a connection as they are, and gives the statuses of the answers: when there are
 * `expected` ones, or when the other side has closed the connection.
 *
 * @throws NoAnswer if there was none at all.
 */
export function converse(
  url: URL,
  bytes: Uint8Array,
  expected: number,
  limits: Limits,
): Promise<readonly number[]> {
  return withinLimits(limits, (resolve, reject, onEnd) => {
    const socket = connect(url);
    onEnd(() => socket.destroy());
    let text = "";
    // Bodies are not told from heads here: an answer that quotes a status line would be miscounted.
    const statuses = () => [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status));
    socket.setEncoding("latin1").on("data", (data) => {
      text += data;
      if (statuses().length >= expected || text.length > READ_MAX) resolve(statuses());
    });
    socket.on("error", (error) => (text === "" ? reject(noAnswer(error)) : resolve(statuses())));
    socket.on("close", () => (text === "" ? reject(closed()) : resolve(statuses())));
    socket.write(bytes);
  });
}

/** Writes bytes on a connection, and then hangs up: properly, or as one that fails. */
export function hangUp(url: URL, bytes: Uint8Array, how: "end" | "reset", limits: Limits): Promise<void> {
  return withinLimits(limits, (resolve, reject, onEnd) => {
    const socket = connect(url);
    onEnd(() => socket.destroy());
    socket.on("error", (error) => reject(noAnswer(error)));
    socket.write(bytes, () => {
      // TLS knows no reset.
      if (how === "reset" && url.protocol === "http:") socket.resetAndDestroy();
      resolve();
    });
  });
}

function connect({ protocol, hostname, port }: URL): net.Socket {
  // Brackets belong to a URL, not to an address.
  const host = hostname.replace(/^\[|\]$/g, "");
  return protocol === "https:"
    ? tls.connect({ host, port: Number(port || 443), servername: net.isIP(host) ? "" : host })
    : net.connect({ host, port: Number(port || 80) });
}

function withinLimits<Result>(
  { milliseconds, signal }: Limits,
  begin: (
    resolve: (result: Result) => void,
    reject: (error: unknown) => void,
    onEnd: (free: () => void) => void,
  ) => void,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    const frees: (() => void)[] = [];
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      for (const free of frees) free();
    };
    const fail = (error: unknown) => {
      end();
      reject(error);
    };
    const abort = () => fail(signal?.reason);
    const seconds = Number((milliseconds / 1000).toPrecision(2));
    const timer = setTimeout(() => fail(new NoAnswer(`none within ${seconds} s`, "late")), milliseconds);
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort);
    begin(
      (result) => {
        end();
        resolve(result);
      },
      fail,
      (free) => frees.push(free),
    );
  });
}

function closed(): NoAnswer {
  return new NoAnswer("the connection was closed", "closed");
}

function noAnswer(error: unknown): NoAnswer {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ECONNREFUSED":
      return new NoAnswer("the connection was refused", "refused");
    case "ECONNRESET":
    case "EPIPE":
      return closed();
    default:
      return new NoAnswer(code ?? message, "unreachable");
  }
}
