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
   * Returns the events whose last attempt failed, oldest failure first. The sink stores them until they
   * are replayed.
   *
   * @param limit The maximum number of events. Default 100.
   */
  failed(limit?: number): Promise<readonly FailedEvent[]>;
  /**
   * Queues a failed event again. Its attempts start again from 1.
   *
   * @param id The event's `id`, as `failed` returns it.
   * @returns Whether such an event was found.
   */
  replay(id: string): Promise<boolean>;
  /**
   * Starts no more events, waits for the running ones, stores their outcomes and ends the connections. If
   * the server is unreachable, it cannot store the outcomes, and those events run again.
   */
  close(): Promise<void>;
}

export interface WorkOptions {
  /** How many events this worker handles at once. Default 1. */
  readonly concurrency?: number | undefined;
}

export interface FailedEvent {
  /** The id for `replay`: the provider and the event's id, such as `toloka:7b6c…`. */
  readonly id: string;
  readonly event: ReceivedEvent;
  /** The name and message of the last attempt's error. */
  readonly error: string;
  /** The number of failed attempts. */
  readonly attempts: number;
  readonly failedAt: Date;
}
