import { createHash, randomUUID } from "node:crypto";
import type { ReceivedEvent } from "@crowdhook/core";
import {
  deduplicationKey,
  deserializeEvent,
  type QueueSettings,
  type SerializedEvent,
} from "@crowdhook/core/sink";
import type { JobInsert } from "pg-boss";

/**
 * Matches NUL and halves of surrogate pairs, as JSON.stringify writes them. PostgreSQL's `jsonb`
 * rejects both.
 */
const NOT_IN_JSONB = /\\u(?:0000|d[89a-f])/;
/** The longest listener that pg-boss allows, in seconds. */
const DAY_S = 24 * 60 * 60;
/** About 60 years, in seconds: how long waiting events stay. More overflows pg-boss' integers. */
export const FOREVER_S = 60 * 365 * DAY_S;
/** A longer key does not fit into an index of PostgreSQL. In characters of JSON. */
const KEY_MAX = 500;

/** How a sink keeps the order of events. */
export interface Ordering {
  readonly orderingKey: (event: ReceivedEvent) => string | undefined;
  readonly onFailed: "block" | "skip";
}

/** Returns the jobs that store these events, each event once. */
export function jobsOf(
  events: readonly SerializedEvent[],
  { attempts, backoff, lease }: QueueSettings,
  ordering: Ordering | undefined,
): JobInsert[] {
  const jobs = new Map<string, JobInsert>();
  for (const event of events) {
    const id = newJobId(event.provider, deduplicationKey(event));
    const json = JSON.stringify(event);
    const key = ordering?.orderingKey(deserializeEvent(event));
    if (jobs.has(id)) continue;
    jobs.set(id, {
      id,
      data: NOT_IN_JSONB.test(json) ? { v: 1, json } : event,
      // A strict queue takes no job without a key.
      ...(ordering && { singletonKey: key === undefined ? id : storedKey(key) }),
      retryLimit: attempts - 1,
      retryDelay: backoff,
      retryBackoff: true,
      heartbeatSeconds: lease,
      expireInSeconds: DAY_S,
      retentionSeconds: FOREVER_S,
      // pg-boss would delete failed events, too. The sink deletes handled ones itself.
      deleteAfterSeconds: 0,
    } as JobInsert);
  }
  return [...jobs.values()];
}

/** Returns an ordering key as stored: JSON text, which holds any characters, or the hash of a long one. */
function storedKey(key: string): string {
  const json = JSON.stringify(key);
  return json.length <= KEY_MAX
    ? json
    : JSON.stringify(`${key.slice(0, 50)}… sha256:${createHash("sha256").update(json).digest("hex")}`);
}

/** Returns the ordering key of a stored key. `undefined` for an event without one. */
export function orderingKeyOf(stored: string): string | undefined {
  return stored.startsWith('"') ? JSON.parse(stored) : undefined;
}

/** Returns the id of the row to store an event in. Events without an id are never duplicates. */
function newJobId(provider: string, key: string): string {
  return key === "" ? randomUUID() : jobIdOf(provider, key);
}

/**
 * Returns the UUID (version 8) that identifies an event. Source: RFC 9562, section 5.8. It hashes JSON
 * text, because UTF-8 maps all halves of surrogate pairs to one character, and JSON does not.
 */
export function jobIdOf(provider: string, key: string): string {
  const bytes = createHash("sha256")
    .update(JSON.stringify([provider, key]))
    .digest()
    .subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
