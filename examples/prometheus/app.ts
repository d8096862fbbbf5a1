import http from "node:http";
import type { DeliveryRecord, Receiver } from "@crowdhook/core";
import { ASSIGNMENT_EVENT_TYPES } from "@crowdhook/core/toloka";
import { prolificWebhook, tolokaWebhook } from "@crowdhook/node";
import { Counter, Histogram, Registry } from "prom-client";

export interface AppOptions {
  /** Without a secret the app has no webhook for Prolific. */
  readonly prolificSecret?: string | undefined;
  /** Largest accepted difference between a delivery's time and the clock, in seconds. */
  readonly tolerance?: number;
  /** Unix time in milliseconds. */
  readonly clock?: () => number;
  /** Prints a listener's line. Default: `console.log`. */
  readonly log?: (line: string) => void;
}

export function createApp(secret: string | undefined, options: AppOptions = {}) {
  const { log = console.log, prolificSecret, ...others } = options;
  const { registry, observe, knowTypesOf } = createMetrics();
  const webhookOptions = { ...others, observe };
  const toloka = tolokaWebhook(secret, webhookOptions);
  knowTypesOf(toloka.receiver);

  toloka.on("POOL_CLOSED", ({ type, data }) => log(`${type} ${data.pool_id}, ${data.close_reason}`));
  toloka.on(ASSIGNMENT_EVENT_TYPES, ({ type, data }) => log(`${type} ${data.assignment_id}`));
  // No onUnrecognized listener: an event whose data does not fit its type then fails and is counted.
  toloka.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));

  // The server closes these when it shuts down.
  const receivers: Pick<Receiver, "close">[] = [toloka.receiver];
  const webhooks = new Map<string | undefined, http.RequestListener>();
  if (prolificSecret !== undefined) {
    const prolific = prolificWebhook(prolificSecret, webhookOptions);
    knowTypesOf(prolific.receiver);
    prolific.onAny(({ type, data }) => log(`${type} ${data.resource_id}`));
    prolific.onError((error, event) => log(`failed ${event.type} ${event.id}: ${String(error)}`));
    webhooks.set("/prolific-webhook", prolific);
    receivers.push(prolific.receiver);
  }

  const app = http.createServer((request, response) => {
    // For the scraper. Do not expose this path to the internet together with the webhook.
    if (request.method === "GET" && request.url === "/metrics") void scrape(registry, response);
    else (webhooks.get(request.url) ?? toloka)(request, response);
  });
  return { app, receivers };
}

function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const deliveries = new Counter({
    name: "crowdhook_deliveries_total",
    help: "Deliveries by the code of the reply, or OK.",
    labelNames: ["provider", "code"],
    registers,
  });
  const events = new Counter({
    name: "crowdhook_events_total",
    help: "Events by outcome.",
    labelNames: ["provider", "type", "outcome"],
    registers,
  });
  const durations = new Histogram({
    name: "crowdhook_delivery_duration_seconds",
    help: "Time from the head of a delivery to its reply.",
    labelNames: ["provider"],
    registers,
  });
  // Every label value is a time series of its own, so unknown types count as "other".
  const known = new Set<string>();
  return {
    registry,
    knowTypesOf({ provider }: { readonly provider: { readonly eventTypes: readonly string[] } }) {
      for (const type of provider.eventTypes) known.add(type);
    },
    observe(record: DeliveryRecord) {
      const { provider } = record;
      deliveries.inc({ provider, code: record.code ?? "OK" });
      for (const { type, outcome } of record.events) {
        events.inc({ provider, type: known.has(type) ? type : "other", outcome });
      }
      durations.observe({ provider }, record.durations.total / 1000);
    },
  };
}

async function scrape(registry: Registry, response: http.ServerResponse) {
  try {
    const metrics = await registry.metrics();
    response.writeHead(200, { "content-type": registry.contentType }).end(metrics);
  } catch {
    response.writeHead(500).end();
  }
}
