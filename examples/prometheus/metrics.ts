import type { ServerResponse } from "node:http";
import type { DeliveryRecord } from "@crowdhook/node";
import { Counter, Histogram, Registry } from "prom-client";

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

/**
 * Returns the option `observe`. Every label value is a time series of its own, so types other than these
 * count as "other".
 */
export function countDeliveries(eventTypes: readonly string[]) {
  const known = new Set(eventTypes);
  return (record: DeliveryRecord) => {
    const { provider } = record;
    deliveries.inc({ provider, code: record.code ?? "OK" });
    for (const { type, outcome } of record.events) {
      events.inc({ provider, type: known.has(type) ? type : "other", outcome });
    }
    durations.observe({ provider }, record.durations.total / 1000);
  };
}

/** Answers the scraper. */
export async function sendMetrics(response: ServerResponse) {
  try {
    const metrics = await registry.metrics();
    response.writeHead(200, { "content-type": registry.contentType }).end(metrics);
  } catch {
    response.writeHead(500).end();
  }
}
