import { parseJson } from "../body.js";
import type { Delivery } from "../delivery.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import type { Provider } from "../provider.js";
import type { Refusal } from "../reply.js";
import { isObject } from "../text/describe.js";
import { expectedEnvelope } from "./defining/envelope.js";

/** The largest accepted number of events by default. Far more than a platform sends in one delivery. */
const EVENTS_MAX = 10_000;

/**
 * Returns the events in a body, or the refusal. Everything that reads a body calls this function, so that
 * one limit holds.
 *
 * @param receivedAt Unix time in milliseconds.
 * @param maxEvents Default 10,000. If there are more, looks at none of them.
 */
export function readEvents<Events extends EventMap>(
  provider: Provider<Events>,
  { headers, body }: Pick<Delivery, "headers" | "body">,
  receivedAt: number,
  maxEvents = EVENTS_MAX,
): readonly ReceivedEvent<Events>[] | Refusal {
  const json = parseJson(body);
  if (json === undefined) return { code: "BODY_NOT_JSON" };
  const count = countEvents(provider, json.value);
  if (count > maxEvents) return tooMany(count, maxEvents);
  const events = provider.parseEvents(json.value, headers, receivedAt);
  if (!events) return { code: "ENVELOPE_INVALID" };
  // The count of a provider without `countEvents` is a guess.
  if (events.length > maxEvents) return tooMany(events.length, maxEvents);
  return events as readonly ReceivedEvent<Events>[];
}

const UNREADABLE =
  "a delivery was accepted, but its body is not an envelope of events in JSON. Its events are lost unless the provider sends them again in a readable form.";

/** Returns why the events of an accepted delivery are lost, for the operator. */
export function lossReason<Events extends EventMap>(
  provider: Pick<Provider<Events>, "definition">,
  { code, reason }: Refusal,
): string {
  if (reason !== undefined) return reason;
  return code === "ENVELOPE_INVALID" ? `${UNREADABLE}${expectedEnvelope(provider)}` : UNREADABLE;
}

function countEvents(
  { countEvents, eventsPerDelivery }: Pick<Provider, "countEvents" | "eventsPerDelivery">,
  body: unknown,
): number {
  if (countEvents) return countEvents(body);
  if (eventsPerDelivery === "one") return 1;
  const lists = [body, ...(isObject(body) ? Object.values(body) : [])].filter(Array.isArray);
  return lists.reduce((longest, { length }) => Math.max(longest, length), 0);
}

function tooMany(count: number, maxEvents: number): Refusal {
  return {
    code: "ENVELOPE_INVALID",
    reason: `a delivery has ${count} events, and maxEvents is ${maxEvents}. None of them is handled. Raise maxEvents if the provider does send so many.`,
  };
}
