import http from "node:http";
import https from "node:https";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import tls from "node:tls";
import type { HeaderLines } from "@crowdhook/core/testing";

/** A request as it is sent. */
export interface Outgoing {
  readonly method: string;
  /** Replaces the endpoint's path. */
  readonly path?: string | undefined;
  /** Without `Host`, `Content-Length` and `Transfer-Encoding`. */
  readonly headers: HeaderLines;
  readonly body: Uint8Array;
  /** Sends the body in chunks, without a `Content-Length`. */
  readonly chunked?: boolean | undefined;
  /** The number of writes for the body. Default 1. */
  readonly pieces?: number | undefined;
  /** Milliseconds to wait before each piece after the first. */
  readonly pause?: number | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Cut off after 4 MiB. */
  readonly body: string;
}

/** When an exchange ends without an answer. */
export interface Limits {
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** There was no answer. The message gives the cause, and reads well after "no answer: ". */
export class NoAnswer extends Error {
  constructor(
    message: string,
    readonly why: "late" | "refused" | "closed" | "unreachable",
  ) {
    super(message);
  }
}

/** In bytes. */
const MAX_ANSWER_SIZE = 4 * 1024 * 1024;

/**
 * Sends a request on a new connection and returns the answer, even if it arrives before the whole body is
 * sent. Does not follow redirects.
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
      // A flat list keeps the order of the headers and the case of their names.
      headers: [["Host", url.host], ...headers, length].flat(),
    });
    onEnd(() => sent.destroy());
    // An endpoint that answers early may close the connection before it has read the body. Its answer counts.
    let isAnswered = false;
    sent.on("error", (error) => isAnswered || reject(toNoAnswer(error)));
    sent.on("response", (response) => {
      isAnswered = true;
      const read: Buffer[] = [];
      let size = 0;
      const end = () => {
        const body = Buffer.concat(read).subarray(0, MAX_ANSWER_SIZE).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      };
      response.on("data", (chunk: Buffer) => {
        read.push(chunk);
        size += chunk.byteLength;
        if (size >= MAX_ANSWER_SIZE) end();
      });
      // A truncated answer still has a status, and the checks need little more.
      response.on("error", () => {}).on("close", end);
    });
    void writeBody(sent, outgoing);
  });
}

async function writeBody(sent: http.ClientRequest, { body, pieces = 1, pause: milliseconds }: Outgoing) {
  const size = Math.ceil(body.byteLength / pieces);
  for (let start = 0; start < body.byteLength && !sent.destroyed; start += size) {
    if (start > 0 && milliseconds) await pause(milliseconds);
    sent.write(body.subarray(start, start + size));
  }
  sent.end();
}

/** Returns the head of a request, for `sendRaw`. */
export function formatHead(url: URL, { method, headers }: Outgoing, more: HeaderLines): string {
  const lines = [["Host", url.host], ...headers, ...more].map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/**
 * Writes bytes to a new connection and returns the statuses of the answers: as soon as there are
 * `expected` of them, or when the endpoint closes the connection.
 *
 * @throws NoAnswer if there is no answer at all.
 */
export function sendRaw(
  url: URL,
  bytes: Uint8Array,
  expected: number,
  limits: Limits,
): Promise<readonly number[]> {
  return withinLimits(limits, (resolve, reject, onEnd) => {
    const socket = connect(url);
    onEnd(() => socket.destroy());
    let text = "";
    // This does not tell bodies from heads: it also counts a status line that a body quotes.
    const statuses = () => [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status));
    socket.setEncoding("latin1").on("data", (data) => {
      text += data;
      if (statuses().length >= expected || text.length > MAX_ANSWER_SIZE) resolve(statuses());
    });
    socket.on("error", (error) => (text === "" ? reject(toNoAnswer(error)) : resolve(statuses())));
    socket.on("close", () => (text === "" ? reject(connectionClosed()) : resolve(statuses())));
    socket.write(bytes);
  });
}

/** Writes bytes to a new connection, then closes it: properly, or with a reset as after a crash. */
export function sendAndHangUp(
  url: URL,
  bytes: Uint8Array,
  how: "end" | "reset",
  limits: Limits,
): Promise<void> {
  return withinLimits(limits, (resolve, reject, onEnd) => {
    const socket = connect(url);
    onEnd(() => socket.destroy());
    socket.on("error", (error) => reject(toNoAnswer(error)));
    socket.write(bytes, () => {
      // A TLS socket cannot send a reset.
      if (how === "reset" && url.protocol === "http:") socket.resetAndDestroy();
      resolve();
    });
  });
}

function connect({ protocol, hostname, port }: URL): net.Socket {
  // A URL writes an IPv6 address in brackets; `connect` expects it without.
  const host = hostname.replace(/^\[|\]$/g, "");
  return protocol === "https:"
    ? tls.connect({ host, port: Number(port || 443), servername: net.isIP(host) ? "" : host })
    : net.connect({ host, port: Number(port || 80) });
}

function withinLimits<Result>(
  { milliseconds, signal }: Limits,
  start: (
    resolve: (result: Result) => void,
    reject: (error: unknown) => void,
    onEnd: (release: () => void) => void,
  ) => void,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    const releases: (() => void)[] = [];
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      for (const release of releases) release();
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
    start(
      (result) => {
        end();
        resolve(result);
      },
      fail,
      (release) => releases.push(release),
    );
  });
}

function connectionClosed(): NoAnswer {
  return new NoAnswer("the connection was closed", "closed");
}

function toNoAnswer(error: unknown): NoAnswer {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ECONNREFUSED":
      return new NoAnswer("the connection was refused", "refused");
    case "ECONNRESET":
    case "EPIPE":
      return connectionClosed();
    default:
      return new NoAnswer(code ?? message, "unreachable");
  }
}
