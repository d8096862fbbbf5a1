import type { EventMap, ReceivedEvent } from "../event.js";
import type { Sink } from "../options.js";
import type { Receiver } from "../receiver.js";

/** A sink that stores events in a queue. Workers run the listeners later. */
export interface DurableSink extends Sink {
  /**
   * Starts a worker in this process. It runs the receiver's listeners for stored events of the receiver's
   * provider, until `close`. Several processes may have workers for one queue.
   *
   * @throws TypeError for invalid options, for a second receiver of the same provider, or after `close`.
   */
  work<Events extends EventMap>(receiver: Receiver<Events>, options?: WorkOptions): void;
  /**
   * Connects to the server and creates what the queue needs, so that the first delivery does not wait for
   * it. Optional: otherwise the first use does the same.
   *
   * @throws Error with the reason if the sink cannot work.
   */
  ready(): Promise<void>;
  /**
   * Returns the events whose last attempt failed, oldest failure first. The sink stores them until they
   * are replayed or discarded.
   *
   * @param filter Which events, or the maximum number of events. Its `limit` is 100 by default.
   */
  failed(filter?: number | FailedFilter): Promise<readonly FailedEvent[]>;
  /**
   * Queues a failed event again. Its attempts start again from 1.
   *
   * @param id The event's `id`, as `failed` returns it.
   * @returns Whether such an event was found.
   */
  replay(id: string): Promise<boolean>;
  /**
   * Queues all failed events that match, oldest failure first. `failed` with the same filter lists them.
   *
   * @param filter Has no `limit` by default.
   * @returns The number of events.
   */
  replay(filter: FailedFilter): Promise<number>;
  /**
   * Deletes a failed event for good. The queue no longer knows it, so it stores a redelivery of the event.
   *
   * @returns Whether such an event was found.
   */
  discard(id: string): Promise<boolean>;
  /** Deletes all failed events that match, as `replay` queues them. Returns the number of events. */
  discard(filter: FailedFilter): Promise<number>;
  /**
   * Starts no more events, waits for the running ones, stores their outcomes and ends the connections. If
   * the server is unreachable, it cannot store the outcomes, and those events run again.
   */
  close(): Promise<void>;
}

/** Options of a worker. */
export interface WorkOptions {
  /** How many events this worker handles at once. Default 1. */
  readonly concurrency?: number | undefined;
}

/** Selects failed events. An event matches if it meets each condition that is present. */
export interface FailedFilter {
  /** The name of the provider, such as `"toloka"`. */
  readonly provider?: string | undefined;
  /** The event's type. */
  readonly type?: string | undefined;
  /** The event failed before this time. */
  readonly before?: Date | undefined;
  /** The event failed at this time or later. */
  readonly since?: Date | undefined;
  /** The maximum number of events. The oldest failures come first. */
  readonly limit?: number | undefined;
}

/** An event whose attempts all failed. The sink keeps it for `replay`. */
export interface FailedEvent {
  /**
   * The id for `replay`: the provider and the event's id, such as `toloka:7b6c…`. An event with an
   * occurrence has that in place of its id, such as `toloka:occurrence/ASSIGNMENT_SUBMITTED:0001`.
   */
  readonly id: string;
  readonly event: ReceivedEvent;
  /** The name and message of the last attempt's error. */
  readonly error: string;
  /** The number of failed attempts. */
  readonly attempts: number;
  readonly failedAt: Date;
}
