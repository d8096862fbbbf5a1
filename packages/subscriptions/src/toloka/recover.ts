import type { Recovery } from "@crowdhook/core";
import { parseTolokaTime, toloka } from "@crowdhook/core/toloka";
import type { RecoveryOptions } from "../recovery/options.js";
import { BATCH_MAX, type Batch, inScope, type Source } from "../recovery/recover.js";
import type { ListedEvent, Report } from "../recovery/result.js";
import { collect, firstById } from "../sync.js";
import { formatTime, inTime, type Step, TRANSITIONS, type Transition } from "./assignments.js";
import type { TolokaPoolView, TolokaRecords } from "./records.js";
import type { TolokaSubscription, TolokaSubscriptions } from "./subscriptions.js";

type Account = Pick<TolokaSubscriptions, "list"> & TolokaRecords;

/** A pool's subscriptions by event type. */
type ByType = ReadonlyMap<string, TolokaSubscription>;

/** An event as Toloka would deliver it. */
interface Derived extends ListedEvent {
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * Toloka does not document that a pool's `last_stopped` is the `event_time` of its webhook. A closing that
 * a webhook reported within this time, in seconds, is the same one.
 */
const CLOSING_TOLERANCE_S = 30;

/** Derives the events that the subscriptions' pools should have sent, from assignments and pools. */
export function tolokaSource(
  account: Account,
  { scope }: Pick<RecoveryOptions<TolokaSubscription>, "scope">,
): Source {
  return async function* (report, recovery) {
    const all = inScope(await collect(account.list()), ({ webhook_url }) => webhook_url, scope);
    for (const [poolId, byType] of byPool(all)) {
      if (byType.has("DYNAMIC_OVERLAP_COMPLETED")) {
        report.note(`Pool ${poolId}: DYNAMIC_OVERLAP_COMPLETED cannot be recovered.`);
      }
      const pool = await account.pool(poolId);
      if (pool === undefined) {
        report.note(`Pool ${poolId} does not exist, so none of its events was recovered.`);
        continue;
      }
      yield* batchesOf(eventsOf(account, pool, byType, report));
      const closing = await closingOf(pool, byType.get("POOL_CLOSED"), report);
      if (closing === undefined) continue;
      if (await isKnownClosing(closing, recovery)) report.knows(listedOf(closing));
      else yield batchOf([closing]);
    }
  };
}

function byPool(subscriptions: readonly TolokaSubscription[]): Map<string, Map<string, TolokaSubscription>> {
  const pools = new Map<string, Map<string, TolokaSubscription>>();
  for (const subscription of subscriptions) {
    const { pool_id, event_type } = subscription;
    const byType = pools.get(pool_id) ?? new Map<string, TolokaSubscription>();
    pools.set(pool_id, byType);
    const other = byType.get(event_type);
    byType.set(event_type, other === undefined ? subscription : firstById(other, subscription));
  }
  return pools;
}

/** Yields a pool's events about assignments in order of time. */
async function* eventsOf(
  account: TolokaRecords,
  { id, project_id }: TolokaPoolView,
  byType: ByType,
  { window }: Report,
): AsyncGenerator<Derived, void> {
  const transitions = (Object.keys(TRANSITIONS) as Transition[]).filter((each) =>
    byType.has(TRANSITIONS[each]),
  );
  const { since, until } = window;
  for await (const step of inTime(account, transitions, { poolId: id, since, until })) {
    const { assignment, transition }: Step = step;
    yield await derive({
      type: TRANSITIONS[transition],
      subject: assignment.id,
      occurredAt: step.occurredAt,
      subscription: byType.get(TRANSITIONS[transition]),
      data: {
        project_id,
        pool_id: id,
        task_suite_id: assignment.task_suite_id,
        assignment_id: assignment.id,
      },
    });
  }
}

/** Returns the event of a pool's last closing, if that lies in the window. */
async function closingOf(
  { id, project_id, status, last_close_reason, last_stopped }: TolokaPoolView,
  subscription: TolokaSubscription | undefined,
  { window }: Report,
): Promise<Derived | undefined> {
  const occurredAt = parseTolokaTime(last_stopped ?? "");
  const isClosed = status === "CLOSED" || status === "ARCHIVED";
  if (subscription === undefined || !isClosed || !last_close_reason || occurredAt === undefined)
    return undefined;
  if (Number(occurredAt) < window.since || Number(occurredAt) > window.until) return undefined;
  const data = { project_id, pool_id: id, close_reason: last_close_reason };
  return derive({ type: "POOL_CLOSED", subject: id, occurredAt, subscription, data });
}

async function isKnownClosing(
  { data, occurredAt }: Derived,
  { isHandled }: Pick<Recovery, "isHandled">,
): Promise<boolean> {
  for (let seconds = -CLOSING_TOLERANCE_S; seconds <= CLOSING_TOLERANCE_S; seconds++) {
    const event_time = formatTime(Number(occurredAt) + seconds * 1000);
    const occurrence = occurrenceOf({ ...data, event_time });
    if (occurrence !== undefined && (await isHandled({ id: "", occurrence }))) return true;
  }
  return false;
}

/** Completes an event with a `uuid` of its own, which is the same each time that the event is derived. */
async function derive({
  type,
  subject,
  occurredAt,
  subscription,
  data,
}: Omit<Derived, "id"> & { readonly subscription: TolokaSubscription | undefined }): Promise<Derived> {
  const event = {
    event_time: formatTime(Number(occurredAt)),
    ...data,
    webhook_subscription_id: subscription?.id,
    type,
  };
  const uuid = await uuidOf(JSON.stringify(["toloka", occurrenceOf(event)]));
  return { id: uuid, type, subject, occurredAt, data: { uuid, ...event } };
}

/** Returns the UUID (version 8) that is the hash of a text. Source: RFC 9562, section 5.8. */
async function uuidOf(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const bytes = new Uint8Array(hash, 0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function occurrenceOf(data: Readonly<Record<string, unknown>>): string | undefined {
  const [event] = toloka.parseEvents({ events: [{ uuid: "derived", ...data }] }, new Map(), Date.now()) ?? [];
  return event && toloka.occurrenceOf?.(event as Parameters<NonNullable<typeof toloka.occurrenceOf>>[0]);
}

async function* batchesOf(events: AsyncIterable<Derived>): AsyncGenerator<Batch, void> {
  let batch: Derived[] = [];
  for await (const event of events) {
    batch.push(event);
    if (batch.length < BATCH_MAX) continue;
    yield batchOf(batch);
    batch = [];
  }
  if (batch.length > 0) yield batchOf(batch);
}

function batchOf(events: readonly Derived[]): Batch {
  return { events: events.map(listedOf), envelopes: [{ body: { events: events.map(({ data }) => data) } }] };
}

function listedOf({ id, type, subject, occurredAt }: Derived): ListedEvent {
  return { id, type, subject, occurredAt };
}
