import { once } from "node:events";
import net from "node:net";
import type { SignedDelivery } from "@crowdhook/core/testing";

export interface Reply {
  readonly status: number;
  readonly code: string | undefined;
}

/** A connection on which a test writes raw bytes and reads replies. */
export interface Wire {
  readonly socket: net.Socket;
  write(bytes: string): void;
  /** Returns the next replies in the order of their arrival. */
  replies(count: number): Promise<Reply[]>;
  /** Resolves when the server has closed the connection, with all text that `replies` has not returned. */
  readonly rest: Promise<string>;
}

const REPLY = /^HTTP\/1\.1 (\d{3}) [\s\S]*?\r\n\r\n(\{.*?\})/;

export async function connect(port: number): Promise<Wire> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  let received = "";
  let more = () => {};
  socket.setEncoding("latin1").on("data", (data) => {
    received += data;
    more();
  });
  // A reset closes the connection, too.
  socket.on("error", () => {});
  let closed = false;
  const rest = new Promise<string>((resolve) => {
    socket.on("close", () => {
      closed = true;
      more();
      resolve(received);
    });
  });
  await once(socket, "connect");
  return {
    socket,
    rest,
    write: (bytes) => void socket.write(bytes, "latin1"),
    async replies(count) {
      const replies: Reply[] = [];
      while (replies.length < count) {
        const [whole, status, body = ""] = REPLY.exec(received) ?? [];
        if (whole !== undefined) {
          received = received.slice(whole.length);
          replies.push({ status: Number(status), code: JSON.parse(body).code });
        } else if (closed) {
          throw new Error(`closed after ${replies.length} of ${count} replies: ${received}`);
        } else {
          await new Promise<void>((resolve) => {
            more = resolve;
          });
        }
      }
      return replies;
    },
  };
}

export function headOf(headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ host: "x", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /toloka-webhook HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** Returns the text of a request. */
export function requestOf({ headers, body }: Omit<SignedDelivery, "method">): string {
  return headOf({ ...headers, "content-length": `${body.length}` }) + body;
}

/** Returns a body with each character in a chunk of its own, without the chunk that ends the body. */
export function chunked(body: string): string {
  return body.replace(/[\s\S]/g, "1\r\n$&\r\n");
}
