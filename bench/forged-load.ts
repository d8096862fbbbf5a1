/**
 * Sends requests for `forged.ts`, from a process of its own, at a steady rate: each at its time, whether
 * the ones before it are answered or not. A latency counts from when the request should have been sent,
 * so that a server that stands still cannot hide it by holding up the sender.
 */
import { once } from "node:events";
import net from "node:net";
import { request } from "./requests.js";
import { quantile } from "./rounds.js";

export interface Order {
  readonly port: number;
  readonly forged: boolean;
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
  /** What each is to be answered with. */
  readonly status: number;
}

/** Milliseconds. */
export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  /** How much later than at their time requests were sent: this process's own share of it. */
  readonly late: number;
}

const CONNECTIONS = 50;

/** With another last digit in its signature. */
function forge(genuine: Buffer): Buffer {
  return Buffer.from(
    genuine.toString().replace(/(.)\}\r\n/, (_, digit) => `${digit === "0" ? "1" : "0"}}\r\n`),
  );
}

/** Whether a text is a whole reply. By hand some have a length, some come in chunks. */
function isWhole(text: string): boolean {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const [, length] = /\r\ncontent-length: (\d+)/i.exec(text) ?? [];
  return length === undefined ? text.endsWith("\r\n0\r\n\r\n") : text.length >= head + 4 + Number(length);
}

async function run({ port, forged, rate, seconds, status }: Order): Promise<Latencies> {
  const count = rate * seconds;
  const requests = Array.from({ length: count }, () =>
    forged ? forge(request("toloka")) : request("toloka"),
  );
  const idle = Array.from({ length: CONNECTIONS }, () => net.connect(port, "127.0.0.1").setNoDelay());
  await Promise.all(idle.map((socket) => once(socket, "connect")));
  const sockets = [...idle];
  const latencies: number[] = [];
  const late: number[] = [];
  // Until then the garbage of signing may be collected.
  const begin = performance.now() + 200;
  await new Promise<void>((resolve, reject) => {
    const waiting: number[] = [];
    const send = (socket: net.Socket, i: number) => {
      const due = begin + (i * 1000) / rate;
      late.push(performance.now() - due);
      let text = "";
      const read = (chunk: Buffer) => {
        text += chunk.toString("latin1");
        if (!isWhole(text)) return;
        if (!text.startsWith(`HTTP/1.1 ${status} `)) reject(new Error(`Not ${status}: ${text}`));
        latencies.push(performance.now() - due);
        socket.off("data", read);
        if (latencies.length === count) {
          clearTimeout(patience);
          return resolve();
        }
        const next = waiting.shift();
        if (next === undefined) idle.push(socket);
        else send(socket, next);
      };
      socket.on("data", read);
      socket.write(requests[i] as Buffer);
    };
    const patience = setTimeout(() => reject(new Error("Requests are not answered.")), (seconds + 30) * 1000);
    for (const socket of sockets) {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("The server closed a connection.")));
    }
    let next = 0;
    const tick = () => {
      for (; next < count && begin + (next * 1000) / rate <= performance.now(); next++) {
        const socket = idle.pop();
        if (socket) send(socket, next);
        else waiting.push(next);
      }
      if (next < count) setTimeout(tick, begin + (next * 1000) / rate - performance.now());
    };
    tick();
  });
  for (const socket of sockets) socket.removeAllListeners("close").destroy();
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), late: quantile(late, 0.99) };
}

process.on("message", async (order: Order) => process.send?.(await run(order)));
