import { kindOf } from "./errors.js";
import type { EventMap, ReceivedEvent } from "./event.js";
import { createLog } from "./observing/log.js";
import type { Sink } from "./options.js";
import type { Receiver } from "./receiver.js";

/** A sink that keeps events in a queue, and has them handled by workers. */
export interface DurableSink extends Sink {
  /**
   * Has the receiver's listeners run for the events of its provider that are kept: from now on until
   * `close`, in this process, beside any other that works. May be called for one receiver per provider.
   *
   * @throws TypeError for options that cannot work.
   */
  work<Events extends EventMap>(receiver: Receiver<Events>, options?: WorkOptions): void;
  /**
   * The events that failed as often as they may, those that failed first coming first. They are kept
   * until they are replayed.
   *
   * @param limit How many at the most. Default 100.
   */
  failed(limit?: number): Promise<readonly FailedEvent[]>;
  /**
   * Has a failed event tried again, as often as a new one.
   *
   * @param id Its id, of `failed`.
   * @returns Whether there was such an event.
   */
  replay(id: string): Promise<boolean>;
  /**
   * Begins no more events, waits for those that have begun, and ends the connections. Each is
   * stored as done or to be tried again by then.
   */
  close(): Promise<void>;
}

export interface WorkOptions {
  /** How many events are handled at once in this process. Default 1. */
  readonly concurrency?: number | undefined;
}

export interface FailedEvent {
  /** What the event is replayed by: its provider and its id, such as `toloka:7b6c…`. */
  readonly id: string;
  readonly event: ReceivedEvent;
  /** The message of what the listener threw in the end. */
  readonly error: string;
  /** How often it was tried. */
  readonly attempts: number;
  readonly failedAt: Date;
}

/** What all durable sinks can be told. */
export interface QueueOptions {
  /** What the names of the engine's queues begin with. Default `"crowdhook"`. */
  readonly queue?: string | undefined;
  /** How often an event is tried before it is left as failed. Default 10. */
  readonly attempts?: number | undefined;
  /**
   * After the nth attempt an event waits for 2ⁿ⁻¹ times so many seconds, and up to as much again, by
   * chance. At least 1. Default 5.
   */
  readonly backoff?: number | undefined;
  /**
   * For how long an event that was handled stays known, so that a redelivery of it is not stored
   * again, in seconds. Default a week.
   */
  readonly retention?: number | undefined;
}

const WEEK_S = 7 * 24 * 60 * 60;

/** @throws TypeError for options that cannot work; the message names the mistake and the fix. */
export function queueSettings(
  options: QueueOptions,
): Required<{ [Key in keyof QueueOptions]: NonNullable<QueueOptions[Key]> }> {
  const { queue = "crowdhook", attempts = 10, backoff = 5, retention = WEEK_S } = options;
  // No "-": that is what comes between it and the provider.
  if (typeof queue !== "string" || !/^\w{1,50}$/.test(queue)) {
    throw new TypeError(`queue must be 1 to 50 letters, digits and "_", not ${JSON.stringify(queue)}.`);
  }
  requireWhole("attempts", attempts, "number");
  requireWhole("backoff", backoff, "number of seconds");
  requireWhole("retention", retention, "number of seconds");
  return { queue, attempts, backoff, retention };
}

/** @throws TypeError if the value is not a positive whole number. */
export function requireWhole(option: string, value: unknown, unit: string): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw new TypeError(`${option} must be a positive whole ${unit}, not ${JSON.stringify(value)}.`);
  }
}

/** An event as plain data, to be kept as JSON. */
export interface SerializedEvent {
  /** Of this form. A release reads all forms that are older than it. */
  readonly v: 1;
  readonly provider: string;
  readonly type: string;
  readonly id: string;
  /** ISO 8601; `null` if the provider sent no time that can be read. */
  readonly occurredAt: string | null;
  readonly data: unknown;
  readonly problems?: readonly string[];
}

/** The same as JSON text, for engines that do not take every character of JSON. */
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
 * @throws TypeError for what this release cannot read, such as what a newer one has kept: to be tried
 * again, then perhaps by a worker that is newer, too.
 */
export function deserializeEvent(kept: unknown): ReceivedEvent {
  const { v, json } = kept as SerializedText;
  if (v !== 1) {
    throw new TypeError(`The event was kept by a newer release (form ${String(v)}). Update this worker.`);
  }
  const { provider, type, id, occurredAt, data, problems }: SerializedEvent =
    json === undefined ? kept : JSON.parse(json);
  return {
    provider,
    type,
    id,
    occurredAt: occurredAt === null ? undefined : new Date(occurredAt),
    data,
    ...(problems && { problems }),
  } as ReceivedEvent;
}

/** In characters. */
const MESSAGE_MAX = 2_000;

/** What is kept of an error. */
export function messageOf(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return text.slice(0, MESSAGE_MAX);
  } catch {
    return "an error that cannot be shown";
  }
}

export { createLog, kindOf };
