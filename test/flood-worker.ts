/**
 * The web process of flood.test.ts: prints its port, takes commands over IPC, and keeps the most
 * memory that it has had.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { tolokaWebhook } from "@crowdhook/node";

export interface FloodOptions {
  readonly secret: string;
  readonly maxInFlight: number;
}

/** Hold: from now on listeners wait. Open: those that wait, and all later ones, go on. */
export type Command = "hold" | "open" | "measure" | "events" | "close";

export type Told =
  | { readonly told: "port"; readonly port: number }
  /** Of listeners that wait. */
  | { readonly told: "waiting"; readonly waiting: number }
  /** In bytes: now, after garbage was collected, and the most since this was asked last. */
  | { readonly told: "memory"; readonly rss: number; readonly most: number; readonly heap: number }
  /** How often listeners were called with each event. */
  | { readonly told: "events"; readonly events: readonly (readonly [string, number])[] }
  | { readonly told: "closed"; readonly unanswered: number };

const { secret, maxInFlight }: FloodOptions = JSON.parse(process.argv[2] ?? "");
const tell = (told: Told) => void process.send?.(told);

const webhook = tolokaWebhook(secret, { maxInFlight });
const events = new Map<string, number>();
let passing: Promise<void> | undefined;
let open = () => {};
let waiting = 0;
webhook.onAny(async ({ id }) => {
  events.set(id, (events.get(id) ?? 0) + 1);
  // What else an event takes, so that the redeliveries are too many at once, too.
  if (passing === undefined) return delay(5);
  tell({ told: "waiting", waiting: ++waiting });
  await passing;
  waiting--;
});

let most = 0;
const look = () => {
  most = Math.max(most, process.memoryUsage.rss());
};
setInterval(look, 10).unref();

let unanswered = 0;
const server = http.createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
  unanswered++;
  await webhook(request, response);
  unanswered--;
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 20_000 }, () =>
  tell({ told: "port", port: (server.address() as AddressInfo).port }),
);

const commands: Record<Command, () => void> = {
  hold() {
    passing = new Promise((resolve) => {
      open = resolve;
    });
  },
  open() {
    open();
    passing = undefined;
  },
  measure() {
    globalThis.gc?.();
    look();
    const rss = process.memoryUsage.rss();
    tell({ told: "memory", rss, most, heap: process.memoryUsage().heapUsed });
    most = rss;
  },
  events: () => tell({ told: "events", events: [...events] }),
  async close() {
    await webhook.receiver.close();
    tell({ told: "closed", unanswered });
  },
};
process.on("message", (command: Command) => commands[command]());
process.on("disconnect", () => process.exit());
