import type { EventMap, ReceivedEvent } from "../event.js";
import type { Sink } from "../options.js";
import type { Receiver } from "../receiver.js";

/** A sink that stores events in a queue. Workers run the listeners later. */
export interface DurableSink extends Sink {
  /**
   * Starts a worker in this process. Until `close` it runs the receiver's listeners for stored events
   * of the receiver's provider. Several processes may work on one queue.
   *
   * @throws TypeError for invalid options, for a second receiver of the same provider, or after `close`.
   */
  work<Events extends EventMap>(receiver: Receiver<Events>, options?: WorkOptions): void;
  /**
   * Returns the events that failed every attempt, oldest failure first. The sink keeps them until
   * someone replays them.
   *
   * @param limit The maximum number of events. Default 100.
   */
  failed(limit?: number): Promise<readonly FailedEvent[]>;
  /**
   * Queues a failed event again, with all its attempts.
   *
   * @param id The event's `id`, as `failed` returns it.
   * @returns Whether such an event was found.
   */
  replay(id: string): Promise<boolean>;
  /**
   * Starts no more events, waits for the running ones, stores their outcomes, and ends the
   * connections. If the server is unreachable, the outcomes are lost and those events run again.
   */
  close(): Promise<void>;
}

export interface WorkOptions {
  /** How many events this process handles at a time. Default 1. */
  readonly concurrency?: number | undefined;
}

export interface FailedEvent {
  /** The id for `replay`: the provider and the event's id, such as `toloka:7b6c…`. */
  readonly id: string;
  readonly event: ReceivedEvent;
  /** The name and message of the last attempt's error. */
  readonly error: string;
  /** The number of attempts. */
  readonly attempts: number;
  readonly failedAt: Date;
}
