import type { ReceivedEvent } from "../event.js";

/** An event as plain data that JSON can represent. */
export interface SerializedEvent {
  /** The version of this format. A release reads its own version and all older versions. */
  readonly v: 1;
  readonly provider: string;
  readonly type: string;
  readonly id: string;
  /** ISO 8601; `null` if the provider sent no readable time. */
  readonly occurredAt: string | null;
  readonly data: unknown;
  readonly problems?: readonly string[];
}

/** A {@link SerializedEvent} as JSON text, for engines that reject some characters of JSON. */
export interface SerializedText {
  readonly v: 1;
  readonly json: string;
}

export function serializeEvent({
  provider,
  type,
  id,
  occurredAt,
  data,
  problems,
}: ReceivedEvent): SerializedEvent {
  return {
    v: 1,
    provider,
    type,
    id,
    occurredAt: occurredAt?.toISOString() ?? null,
    data,
    ...(problems && { problems }),
  };
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
  const { provider, type, id, occurredAt, data, problems }: SerializedEvent =
    json === undefined ? stored : JSON.parse(json);
  return {
    provider,
    type,
    id,
    occurredAt: occurredAt === null ? undefined : new Date(occurredAt),
    data,
    ...(problems && { problems }),
  } as ReceivedEvent;
}
