/**
 * Sends requests for `http.ts`, from a process of its own: over connections that stay open, each of
 * which sends its next request when it has the reply to the one before. Raw sockets, and requests that
 * were written before: it must not be what limits the server. Nor does it ever sleep: waking a core
 * takes the server's time, more of it in a virtual machine than a request does.
 */
import { once } from "node:events";
import net from "node:net";
import { type Manner, request } from "./requests.js";
import { quantile } from "./rounds.js";

/** What it is told. It answers the first with nothing, the second with a `Run`. */
export type Order =
  | { readonly prepare: readonly Manner[]; readonly requests: number }
  /**
   * Sends what was prepared in a manner, from the start, for so many seconds or to the end. The
   * connections stay open until the next order.
   */
  | {
      readonly manner: Manner;
      readonly port: number;
      readonly connections: number;
      readonly seconds: number | undefined;
    };

export interface Run {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

let prepared = new Map<Manner, Buffer[]>();
let sockets: net.Socket[] = [];

/** The length of the reply that a text begins with; undefined if not all of it is there. */
function lengthOf(text: string): number | undefined {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return undefined;
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`A reply is not 200: ${text}`);
  const [, length] = /\r\ncontent-length: (\d+)/i.exec(text) ?? [];
  if (length === undefined) throw new Error(`A reply has no length: ${text}`);
  const end = head + 4 + Number(length);
  return text.length < end ? undefined : end;
}

async function run(
  requests: readonly Buffer[],
  port: number,
  connections: number,
  limit = Number.POSITIVE_INFINITY,
): Promise<Run> {
  const latencies: number[] = [];
  const rest = requests.values();
  let until = 0;
  const connected: Promise<unknown>[] = [];
  const exchanges = Array.from({ length: connections }, () => {
    let sent = 0;
    let text = "";
    let resolve = () => {};
    let reject = (_: unknown) => {};
    const send = () => {
      sent = performance.now();
      const { value, done } = sent < until ? rest.next() : { value: undefined, done: true };
      if (done) resolve();
      else socket.write(value as Buffer);
    };
    const receive = (length: number, bytes: Uint8Array) => {
      text += Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
      try {
        const whole = lengthOf(text);
        if (whole === undefined) return true;
        if (text.length > whole) throw new Error(`A reply is longer than it says: ${text}`);
      } catch (error) {
        reject(error);
        return false;
      }
      latencies.push(performance.now() - sent);
      text = "";
      send();
      return true;
    };
    // One buffer for all that is read, and no stream around it.
    const onread = { buffer: Buffer.alloc(16_384), callback: receive };
    const socket = net.connect({ port, host: "127.0.0.1", onread }).setNoDelay();
    sockets.push(socket);
    connected.push(once(socket, "connect"));
    return () =>
      new Promise<void>((done, fail) => {
        resolve = done;
        reject = fail;
        socket.on("error", fail);
        socket.on("end", () => fail(new Error("The server ended a connection.")));
        send();
      });
  });
  await Promise.all(connected);
  const begin = performance.now();
  until = begin + limit * 1000;
  await Promise.all(exchanges.map((exchange) => exchange()));
  const seconds = (performance.now() - begin) / 1000;
  return {
    requests: latencies.length,
    seconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  };
}

process.on("message", async (order: Order) => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  if ("prepare" in order) {
    prepared = new Map(
      order.prepare.map((manner) => [manner, Array.from({ length: order.requests }, () => request(manner))]),
    );
    process.send?.(null);
  } else {
    const { manner, port, connections, seconds } = order;
    process.send?.(await run(prepared.get(manner) ?? [], port, connections, seconds));
  }
});

const stayAwake = () => setImmediate(stayAwake);
stayAwake();
process.on("disconnect", () => process.exit());
