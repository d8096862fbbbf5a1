import type { Recovery } from "@crowdhook/core";
import { isObject } from "@crowdhook/core/internal";
// Prolific's times are ISO 8601, too.
import { parseTolokaTime as parseTime } from "@crowdhook/core/toloka";
import type { RecoveryOptions } from "../recovery/options.js";
import { BATCH_MAX, type Batch, inOrder, inScope, type Source } from "../recovery/recover.js";
import type { ListedEvent, Report } from "../recovery/result.js";
import { collect } from "../sync.js";
import type {
  ProlificSubscription,
  ProlificSubscriptionEvent,
  ProlificSubscriptions,
} from "./subscriptions.js";

type Account = Pick<ProlificSubscriptions, "list" | "events">;
type Listed = ProlificSubscriptionEvent & ListedEvent;

/** How many delivered events are looked up to learn whether their ids are those of the deliveries. */
const PROBES_MAX = 100;

const IDS_UNKNOWN =
  "No delivered event is known by the id that Prolific lists. Events that Prolific still tries to deliver were left to it.";

/**
 * Finds the events that Prolific could not deliver.
 *
 * Prolific does not document whether a listed id is the `X-Event-ID` of the delivery. If the receiver knows
 * a delivered event by its listed id, it is. Then an undelivered event is a duplicate if the receiver
 * handled it, and a later redelivery is a duplicate, too. Otherwise only events that Prolific has given up
 * are taken, except those that equal a delivered event.
 */
export function prolificSource(
  account: Account,
  { scope }: Pick<RecoveryOptions<ProlificSubscription>, "scope">,
): Source {
  return async function* (report, recovery) {
    const subscriptions = inScope(await collect(account.list()), ({ target_url }) => target_url, scope);
    const idsMatch = await findHandled(account, subscriptions, report, recovery);
    let batch: Listed[] = [];
    for (const { id } of subscriptions) {
      const delivered = idsMatch ? undefined : await deliveredContents(account, id, report);
      if (delivered !== undefined && delivered.size > 0) report.note(IDS_UNKNOWN);
      // Without a status: a list of one status would skip events whose status changes while it is read.
      for await (const event of listed(account.events(id), report, report.window.since)) {
        if (!isRecoverable(event, delivered, report)) continue;
        batch.push(event);
        if (batch.length < BATCH_MAX) continue;
        yield batchOf(batch);
        batch = [];
      }
    }
    if (batch.length > 0) yield batchOf(batch);
  };
}

/** Decides about one undelivered event. Notes in the report why it is not recovered. */
function isRecoverable(event: Listed, delivered: Contents | undefined, report: Report): boolean {
  const { status, payload } = event;
  if (status === "SUCCEEDED") return false;
  const bare = listedOf(event);
  if (delivered !== undefined && status !== "FAILED") {
    report.leave(bare);
    return false;
  }
  if (!isObject(payload) || typeof payload.event_type !== "string") {
    report.lost.push({ ...bare, reason: "Prolific does not show its content" });
    return false;
  }
  if (delivered?.has(event)) {
    report.uncertain.push({ ...bare, reason: "a delivered event of the same type and resource is equal" });
    return false;
  }
  return true;
}

/** Returns the events in order of time, each in an envelope of its own, as Prolific delivers them. */
function batchOf(events: readonly Listed[]): Batch {
  const ordered = inOrder(events);
  return {
    events: ordered.map(listedOf),
    envelopes: ordered.map(({ id, occurredAt, payload }) => ({
      body: payload,
      headers: new Map([
        ["x-event-id", id],
        ["x-timestamp", String(Math.floor(Number(occurredAt) / 1000))],
      ]),
    })),
  };
}

function listedOf({ id, type, subject, occurredAt }: Listed): ListedEvent {
  return { id, type, subject, occurredAt };
}

/** Yields the events between `since` and the end of the window. */
async function* listed(
  events: AsyncIterable<ProlificSubscriptionEvent>,
  report: Report,
  since: number,
): AsyncGenerator<Listed, void> {
  for await (const event of events) {
    const occurredAt = parseTime(event.datetime_created);
    if (occurredAt === undefined) {
      report.note(`Event ${event.id} has no readable datetime_created, so it was left out.`);
      continue;
    }
    if (Number(occurredAt) < since || Number(occurredAt) > report.window.until) continue;
    yield { ...event, type: event.event_type, subject: event.resource_id, occurredAt };
  }
}

/** Returns whether the receiver knows one of the latest delivered events by its listed id. */
async function findHandled(
  { events }: Account,
  subscriptions: readonly ProlificSubscription[],
  report: Report,
  { isHandled }: Pick<Recovery, "isHandled">,
): Promise<boolean> {
  for (const { id } of subscriptions) {
    let probes = 0;
    for await (const event of listed(events(id, { status: "SUCCEEDED" }), report, report.window.horizon)) {
      if (event.status !== "SUCCEEDED") continue;
      if (await isHandled({ id: event.id })) return true;
      if (++probes === PROBES_MAX) break;
    }
  }
  return false;
}

/** The contents of delivered events. */
interface Contents {
  readonly size: number;
  has(event: ProlificSubscriptionEvent): boolean;
}

/** Collects the contents of the events that Prolific has delivered, as far back as the receiver remembers. */
async function deliveredContents({ events }: Account, id: string, report: Report): Promise<Contents> {
  const contents = new Set<string>();
  for await (const event of listed(events(id), report, report.window.horizon)) {
    if (event.status === "SUCCEEDED") contents.add(contentOf(event, event.payload));
  }
  // A delivered event whose content Prolific does not show equals every event of its type and resource.
  return {
    size: contents.size,
    has: (event) => [event.payload, null].some((payload) => contents.has(contentOf(event, payload))),
  };
}

function contentOf({ event_type, resource_id }: ProlificSubscriptionEvent, payload: unknown): string {
  return JSON.stringify([event_type, resource_id, payload ?? null], (_, value) =>
    isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value,
  );
}
