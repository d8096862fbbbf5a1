import type { SerializedEvent } from "./serialized-event.js";
import type { QueueSettings } from "./settings.js";

/**
 * What `createDurableSink` needs to know about a queue library. `packages/bullmq` and
 * `packages/pg-boss` are examples; `durableSinkChecks` of `@crowdhook/core/conformance` test the result.
 */
export interface EngineDefinition {
  /** Names the sink in log lines, such as `"bullmq sink"`. */
  readonly name: string;
  /** Names the store in log lines and errors, such as `"Redis"`. */
  readonly server: string;
  /**
   * How long storing a delivery may take, in milliseconds. After that the answer is 503 and the
   * provider redelivers. Default 3,000.
   */
  readonly storeTimeout?: number | undefined;
  /**
   * Returns the code of an error, such as `"ECONNREFUSED"`, if it has one. The code is logged: never
   * return a message, which may hold an address or a password. Default: the error's class and `code`.
   */
  readonly codeOf?: ((error: unknown) => string | undefined) | undefined;
  /** Creates the engine. `createDurableSink` calls it once. It must not open a connection yet. */
  createEngine(context: EngineContext): QueueEngine;
}

/** What the sink offers to its engine. */
export interface EngineContext {
  readonly settings: QueueSettings;
  /** Aborts when `close` is called. From then on the engine must not open new connections. */
  readonly closing: AbortSignal;
  /** Returns the name of a provider's queue, such as `crowdhook-toloka`. */
  queueName(provider: string): string;
  /** Logs that the server failed, at most once a minute. Safe for any error: only its code is logged. */
  reportUnreachable(error: unknown): void;
  /** Returns the part of an error that may appear in logs and messages: its code or its class. */
  codeOf(error: unknown): string;
  /** Returns the text to store with a failed event: the error's name and message, at most 2,000 characters. */
  messageOf(error: unknown): string;
}

/**
 * Stores the events of a durable sink and hands them to workers. Each provider has a queue of its own.
 * `createDurableSink` validates all arguments, and calls neither `store` nor `work` after `close`.
 */
export interface QueueEngine {
  /**
   * Stores all the events or, by rejecting, none. The queue deduplicates by event id: it ignores an
   * event that waits, runs or has failed, or that was handled within `settings.retention`. An event
   * with an empty id is always stored.
   *
   * @param events At least one, all of this provider. They may repeat an id.
   */
  store(provider: string, events: readonly SerializedEvent[]): Promise<void>;
  /**
   * Starts a worker that passes each stored event of the provider to `run`, at most `concurrency` at a
   * time. If `run` rejects, the event is retried with backoff; after `settings.attempts` it has failed.
   * Called at most once per provider.
   */
  work(provider: string, run: RunEvent, concurrency: number): EngineWorker;
  /** Returns failed events of all providers in any order. They must include the `limit` oldest failures. */
  failed(limit: number): Promise<readonly StoredFailure[]>;
  /**
   * Queues a failed event again, with all its attempts. Resolves with whether it was found.
   *
   * @param eventId The event's id or, for an event without one, its `jobId`.
   */
  replay(provider: string, eventId: string): Promise<boolean>;
  /** Ends all connections. Called once, after every worker has stopped. */
  close(): Promise<void>;
}

/**
 * Runs the listeners for a stored event. Rejects if a listener fails or if `data` is unreadable.
 *
 * @param data What the engine stored: a `SerializedEvent` or a `SerializedText`.
 */
export type RunEvent = (data: unknown, context: RunContext) => Promise<void>;

export interface RunContext {
  /** Aborts when another worker may have taken over the event. */
  readonly signal: AbortSignal;
  /** Counts from 1, and includes attempts whose worker died. */
  readonly attempt: number;
  /** Stores how far the listener is, if the engine can. */
  readonly progress?: (value: number | object) => Promise<void>;
}

export interface EngineWorker {
  /** Looks for events now. Called after this process stored or replayed one. For engines that poll. */
  wake?(): void;
  /** Starts no more events, and resolves once the running ones have ended and their outcomes are stored. */
  stop(): Promise<void>;
}

/** A failed event as the engine stores it. */
export interface StoredFailure {
  readonly provider: string;
  /** The engine's own id: it identifies an event without an id. */
  readonly jobId: string;
  /** What was stored: a `SerializedEvent` or a `SerializedText`. */
  readonly data: unknown;
  /** The event's type, if the engine stores it outside of `data`. Shown if `data` is unreadable. */
  readonly type?: string | undefined;
  /** What `messageOf` returned for the last attempt's error. */
  readonly error: string;
  readonly attempts: number;
  readonly failedAt: Date;
}
