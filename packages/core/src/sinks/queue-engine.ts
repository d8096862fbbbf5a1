import type { WorkOptions } from "./durable-sink.js";
import type { SerializedEvent } from "./serialized-event.js";
import type { QueueSettings } from "./settings.js";

/**
 * Defines a durable sink on a queue library, for `createDurableSink`. `packages/bullmq` and
 * `packages/pg-boss` are examples. `durableSinkChecks` of `@crowdhook/core/conformance` test the sink.
 */
export interface EngineDefinition {
  /** The name of the sink in log lines, such as `"bullmq sink"`. */
  readonly name: string;
  /** The name of the server in log lines and errors, such as `"Redis"`. */
  readonly server: string;
  /**
   * How long storing the events of a delivery may take, in milliseconds. Each event adds a millisecond.
   * After that the reply is 503 and the provider redelivers. Default 3,000.
   */
  readonly storeTimeout?: number | undefined;
  /**
   * Returns the code of an error, such as `"ECONNREFUSED"`; `undefined` for the default. The sink logs the
   * code. Never return a message, which may hold an address or a password. Default: the error's name and
   * `code`.
   */
  readonly codeOf?: ((error: unknown) => string | undefined) | undefined;
  /**
   * Returns the cause and the fix of an error, in sentences for the operator; `undefined` if they are unknown.
   * The sink logs them in place of the code. Never return a message of the server.
   */
  readonly explain?: ((error: unknown) => string | undefined) | undefined;
  /** Creates the engine. `createDurableSink` calls it once. It must not open a connection yet. */
  createEngine(context: EngineContext): QueueEngine;
}

/** The settings and functions that the sink gives to its engine. */
export interface EngineContext {
  readonly settings: QueueSettings;
  /** Aborts when the app calls `close`. From then on the engine must not open new connections. */
  readonly closing: AbortSignal;
  /** Returns the name of a provider's queue, such as `crowdhook-toloka`. */
  queueName(provider: string): string;
  /**
   * Logs that the server failed, at most once a minute for each code. Safe for any error, because it logs
   * only `codeOf`. The sink calls it with every error of `store`.
   */
  reportUnreachable(error: unknown): void;
  /** Returns the part of an error that is safe for logs and messages: its code or its name. */
  codeOf(error: unknown): string;
  /** Returns the text to store with a failed event: the error's name and message, cut to 2,000 characters. */
  messageOf(error: unknown): string;
}

/**
 * Stores the events of a durable sink and passes them to workers. Each provider has its own queue.
 * `createDurableSink` validates all arguments. After `close` it calls no other method.
 */
export interface QueueEngine {
  /**
   * Stores all the events. If it rejects, it must have stored none. The queue deduplicates by
   * `deduplicationKey`: it ignores an event that waits, runs or has failed, or that was handled within
   * `settings.retention`. It always stores an event whose key is empty.
   *
   * @param events At least one, all of this provider. They may repeat a key. JSON can represent each of
   *   them, in about 100 levels.
   */
  store(provider: string, events: readonly SerializedEvent[]): Promise<void>;
  /**
   * Starts a worker that passes each stored event of the provider to `run`, at most `concurrency` at a
   * time. If `run` rejects, the engine retries the event with backoff. After `settings.attempts` attempts
   * the event has failed. Called at most once per provider.
   *
   * @param options What the app passed to `work`. Holds the engine's own options, too.
   */
  work(provider: string, run: RunEvent, concurrency: number, options: WorkOptions): EngineWorker;
  /** Returns failed events of all providers, in any order. Must include the `limit` oldest failures. */
  failed(limit: number): Promise<readonly StoredFailure[]>;
  /**
   * Queues a failed event again, with its attempts starting from 1. Resolves with whether it was found.
   *
   * @param key The event's `deduplicationKey` or, for an event without one, its `jobId`.
   */
  replay(provider: string, key: string): Promise<boolean>;
  /**
   * Deletes a failed event, so that the queue no longer knows it. Resolves with whether it was found.
   *
   * @param key The event's `deduplicationKey` or, for an event without one, its `jobId`.
   */
  discard(provider: string, key: string): Promise<boolean>;
  /** Returns the latest time recorded for `key`. Absent if the engine keeps no times. */
  latestOccurrence?(key: string): Promise<number | undefined>;
  /** Remembers the later of `time` and the recorded time of `key`. A time is a whole number below 2^53. */
  recordOccurrence?(key: string, time: number): Promise<void>;
  /** Connects and creates what the queue needs. Rejects with the reason if it cannot. */
  ready?(): Promise<void>;
  /** Ends all connections. Called once, after every worker has stopped. */
  close(): Promise<void>;
}

/**
 * Runs the listeners for a stored event. Rejects if a listener fails or if `data` is unreadable.
 *
 * @param data The stored data: a `SerializedEvent` or a `SerializedText`.
 */
export type RunEvent = (data: unknown, context: RunContext) => Promise<void>;

/** One attempt, as its engine describes it to the skeleton. */
export interface RunContext {
  /** Aborts when another worker may have taken over the event. */
  readonly signal: AbortSignal;
  /** The number of this attempt, counted from 1. Attempts whose worker died count, too. */
  readonly attempt: number;
  /** Stores the listener's progress. Absent if the engine does not support it. */
  readonly progress?: (value: number | object) => Promise<void>;
  /** The database transaction of the listeners. Absent if the engine does not support it. */
  readonly tx?: unknown;
}

/** A running worker of an engine. */
export interface EngineWorker {
  /** Looks for events now. Called after this process has stored or replayed events. For engines that poll. */
  wake?(): void;
  /** Starts no more events. Resolves when the running ones have ended and their outcomes are stored. */
  stop(): Promise<void>;
}

/** A failed event as the engine stores it. */
export interface StoredFailure {
  readonly provider: string;
  /** The engine's own id of the stored event. Identifies an event without an id. */
  readonly jobId: string;
  /** The stored data: a `SerializedEvent` or a `SerializedText`. */
  readonly data: unknown;
  /** The event's type, if the engine stores it outside of `data`. `failed` shows it if `data` is unreadable. */
  readonly type?: string | undefined;
  /** The result of `messageOf` for the last attempt's error. */
  readonly error: string;
  readonly attempts: number;
  readonly failedAt: Date;
}
