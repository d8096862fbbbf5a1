import type { ReceivedEvent } from "../event.js";
import { deepJson } from "../text/deep-json.js";

/**
 * An event as plain data, for an engine to store as JSON. The data of a deeply nested event is in `json`:
 * parsers limit the depth.
 */
export type SerializedEvent =
  | PlainEvent
  | (SerializedText & Pick<PlainEvent, "provider" | "type" | "id" | "occurrence">);

interface PlainEvent {
  /** The version of this format. A release reads its own version and all older versions. */
  readonly v: 1;
  readonly provider: string;
  readonly type: string;
  readonly id: string;
  /** ISO 8601; `null` if the provider sent no readable time. */
  readonly occurredAt: string | null;
  readonly data: unknown;
  readonly problems?: readonly string[];
  readonly occurrence?: string;
  readonly recovered?: true;
}

/** A {@link SerializedEvent} as JSON text, for engines that reject some characters of JSON. */
export interface SerializedText {
  readonly v: 1;
  readonly json: string;
}

/**
 * Data with more levels of arrays and objects is stored as text. Lua's cjson in Redis takes 1,000 levels,
 * PostgreSQL and `JSON.stringify` some thousand.
 */
const LEVELS_MAX = 100;

/** @throws TypeError or RangeError for an event that JSON cannot represent, such as one with a `bigint`. */
export function serializeEvent(event: ReceivedEvent): SerializedEvent {
  const { provider, type, id, occurredAt, data, problems, occurrence, recovered } = event;
  const identity = { v: 1, provider, type, id, ...(occurrence !== undefined && { occurrence }) } as const;
  const serialized: PlainEvent = {
    ...identity,
    occurredAt: occurredAt?.toISOString() ?? null,
    data,
    ...(problems && { problems }),
    ...(recovered && { recovered }),
  };
  if (isDeeper(data, LEVELS_MAX)) return { ...identity, json: deepJson(serialized) };
  // Throws for data that JSON cannot represent.
  JSON.stringify(data);
  return serialized;
}

/**
 * Returns an event in place of one that JSON cannot represent. A worker passes it to `onUnrecognized`
 * listeners, or it fails with the problem as its reason.
 */
export function withoutData(
  { provider, type, id, occurredAt, occurrence }: ReceivedEvent,
  problem: string,
): SerializedEvent {
  const isTime = occurredAt !== undefined && !Number.isNaN(Number(occurredAt));
  return {
    v: 1,
    provider,
    type,
    id,
    occurredAt: isTime ? occurredAt.toISOString() : null,
    data: {},
    problems: [problem],
    ...(occurrence !== undefined && { occurrence }),
  };
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((child) => isDeeper(child, levels - 1));
}

/**
 * Returns the text by which a queue deduplicates an event: its occurrence, else its id. Empty if it has
 * neither. A webhook and a recovered event of the same fact have the same key.
 */
export function deduplicationKey({ id, occurrence }: Pick<ReceivedEvent, "id" | "occurrence">): string {
  // With a prefix, because an id could be the same text.
  return occurrence === undefined ? id : `occurrence/${occurrence}`;
}

/**
 * Restores an event from a {@link SerializedEvent} or a {@link SerializedText}.
 *
 * @throws TypeError for a format of a newer release. Retry the event, because a newer worker can read it.
 */
export function deserializeEvent(stored: unknown): ReceivedEvent {
  const { v, json } = stored as SerializedText;
  if (v !== 1) {
    throw new TypeError(`A newer release stored this event (format ${String(v)}). Update this worker.`);
  }
  // An engine may store a text as text once more.
  if (json !== undefined) return deserializeEvent(JSON.parse(json));
  const { provider, type, id, occurredAt, data, problems, occurrence, recovered } = stored as PlainEvent;
  return {
    provider,
    type,
    id,
    occurredAt: occurredAt === null ? undefined : new Date(occurredAt),
    data,
    ...(problems && { problems }),
    ...(occurrence !== undefined && { occurrence }),
    ...(recovered && { recovered }),
  } as ReceivedEvent;
}
