import type { TimelineEntry } from "../wire.js";
import type { Entry } from "./store.js";

const ENTRIES_MAX = 1_000;

/** Returns the events of one subject in the order in which they happened. */
export function timelineOf(
  entries: Iterable<Entry>,
  provider: string,
  subject: string,
): readonly TimelineEntry[] {
  const timeline: TimelineEntry[] = [];
  const ids = new Set<string>();
  const latest = new Map<string, number>();
  for (const { row, captured } of entries) {
    if (captured.source?.provider.title !== provider) continue;
    for (const event of captured.events) {
      if (event.subject !== subject || timeline.length >= ENTRIES_MAX) continue;
      const { id, type, occurredAt = captured.receivedAt } = event;
      const isDuplicate = event.outcome === "duplicate" || (id !== "" && ids.has(id));
      const isStale = !isDuplicate && occurredAt < (latest.get(type) ?? Number.NEGATIVE_INFINITY);
      ids.add(id);
      latest.set(type, Math.max(occurredAt, latest.get(type) ?? Number.NEGATIVE_INFINITY));
      timeline.push({ ...event, delivery: row.id, receivedAt: captured.receivedAt, isDuplicate, isStale });
    }
  }
  const time = ({ occurredAt, receivedAt }: TimelineEntry) => occurredAt ?? receivedAt;
  return timeline.sort((a, b) => time(a) - time(b) || a.delivery - b.delivery);
}
