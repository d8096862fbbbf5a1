import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Captured, OutgoingDelivery, Source } from "./deliveries/captured.js";
import { explainCaptured } from "./deliveries/details.js";
import { createStore, type DeliveryStore, type StoreLimits } from "./deliveries/store.js";
import { type Authorize, createAccess } from "./http/access.js";
import { respondPage } from "./http/page.js";
import { RequestError, respond, respondJson } from "./http/respond.js";
import { createRoutes } from "./routes.js";
import type { FailedEvents } from "./sinks.js";

export interface InspectorSettings {
  readonly sources: readonly Source[];
  readonly sinks?: readonly FailedEvents[] | undefined;
  readonly limits?: Partial<StoreLimits> | undefined;
  readonly token?: string | undefined;
  readonly authorize?: Authorize | undefined;
  /** The URL at which deliveries arrive, for exports. */
  readonly origin: () => string;
}

/** Keeps deliveries, and shows them in a page. */
export interface InspectorCore {
  /** Part of the page's URL, after `#token=`. */
  readonly token: string;
  readonly store: DeliveryStore;
  /** Shows a delivery. */
  show(captured: Captured): void;
  /** Shows a delivery from before the start, and later what `judge` returns. Deliveries are judged one after another. */
  restore(captured: Captured, judge: () => Promise<Captured>): void;
  /** Answers a request for the page. @param path Relative to the page's URL, with a leading slash. */
  handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<void>;
}

const LIMITS: StoreLimits = { deliveries: 10_000, bytes: 64 * 1024 * 1024 };
/** A forged delivery takes 40 ms to explain. In a flood, only the newest ones are explained. */
const UNEXPLAINED_MAX = 100;
/** How long an answer to "send" waits for the delivery to arrive. */
const ARRIVAL_MS = 5_000;

export function createInspector(settings: InspectorSettings): InspectorCore {
  const { sources, token = randomBytes(24).toString("base64url"), authorize } = settings;
  const store = createStore({ ...LIMITS, ...settings.limits });
  const access = createAccess({ token, authorize });
  const explain = createExplainer(store, sources);
  const arrivals = createArrivals();
  const unjudged: Unjudged[] = [];
  const routes = createRoutes({ ...settings, sinks: settings.sinks ?? [], store, send: arrivals.send });

  return {
    token,
    store,

    show(captured) {
      const arrival = arrivals.match(captured);
      const { id } = store.add(captured, arrival?.origin);
      arrival?.resolve(id);
      if (captured.verdict === "refused") explain(id);
    },

    restore(captured, judge) {
      unjudged.push({ id: store.add(captured).id, judge });
      if (unjudged.length === 1) void judgeAll(unjudged, store);
    },

    async handle(request, response, path) {
      try {
        const url = new URL(path, "http://inspector");
        if (!url.pathname.startsWith("/api/")) {
          await access.checkPage(request);
          if (request.method === "GET" && respondPage(url.pathname, response)) return;
          throw new RequestError("There is nothing here.", 404);
        }
        await access.checkCall(request);
        await routes(request, response, url);
      } catch (error) {
        if (response.headersSent) return void response.destroy();
        const status = error instanceof RequestError ? error.status : 500;
        const message = error instanceof RequestError ? error.message : "The inspector failed.";
        if (path.startsWith("/api/")) respondJson(response, { message }, status);
        else respond(response, status, "text/plain; charset=utf-8", message);
      }
    },
  };
}

/** Returns a function that adds the cause of a refusal to a delivery, one delivery at a time. */
function createExplainer(store: DeliveryStore, sources: readonly Source[]): (id: number) => void {
  const waiting: number[] = [];
  let isRunning = false;
  return async function explain(id) {
    waiting.push(id);
    if (waiting.length > UNEXPLAINED_MAX) waiting.shift();
    if (isRunning) return;
    isRunning = true;
    // After the reply, which does not wait for the cause.
    await new Promise((resolve) => setImmediate(resolve));
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const entry = store.get(next);
      if (entry) store.update(next, await explainCaptured(entry.captured, sources).catch(() => ({})));
    }
    isRunning = false;
  };
}

interface Unjudged {
  readonly id: number;
  judge(): Promise<Captured>;
}

/** Judges deliveries one after another, and takes them off the list. */
async function judgeAll(list: Unjudged[], store: DeliveryStore): Promise<void> {
  for (let [next] = list; next !== undefined; [next] = list) {
    await new Promise((resolve) => setImmediate(resolve));
    // A delivery that is no longer kept needs no verdict.
    if (store.get(next.id)) store.update(next.id, await next.judge().catch(() => ({})));
    list.shift();
  }
}

interface Arrival {
  /** The delivery that was sent again. */
  readonly origin: number | undefined;
  resolve(id: number): void;
}

/** Recognizes the deliveries that the page has sent when they arrive. */
function createArrivals() {
  const expected = new Map<string, Arrival>();
  return {
    match(captured: Captured): Arrival | undefined {
      if (expected.size === 0 || captured.body === undefined) return undefined;
      return expected.get(keyOf({ ...captured, body: captured.body }));
    },

    /** Sends a delivery. Resolves with the id under which it arrived. */
    async send(source: Source, outgoing: OutgoingDelivery, origin?: number): Promise<number | undefined> {
      const key = keyOf(outgoing);
      let timer: NodeJS.Timeout | undefined;
      const arrived = new Promise<number | undefined>((resolve) => {
        expected.set(key, { origin, resolve });
        timer = setTimeout(resolve, ARRIVAL_MS, undefined);
      });
      try {
        await source.deliver(outgoing);
        return await arrived;
      } finally {
        clearTimeout(timer);
        expected.delete(key);
      }
    },
  };
}

/** The signature is among the headers, but hosts change the names and the order of headers. */
function keyOf({ body, headers }: Pick<OutgoingDelivery, "body" | "headers">): string {
  const lines = headers.filter(([name]) => /signature|hmac|event-id/i.test(name));
  const text = lines.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort();
  return createHash("sha256").update(body).update(text.join("\n")).digest("base64");
}
