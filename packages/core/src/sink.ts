export { createDurableSink } from "./sinks/create-durable-sink.js";
export type { DurableSink, FailedEvent, FailedFilter, WorkOptions } from "./sinks/durable-sink.js";
export type {
  EngineContext,
  EngineDefinition,
  EngineWorker,
  QueueEngine,
  RunContext,
  RunEvent,
  StoredFailure,
} from "./sinks/queue-engine.js";
export {
  deduplicationKey,
  deserializeEvent,
  type SerializedEvent,
  type SerializedText,
  serializeEvent,
} from "./sinks/serialized-event.js";
export type { QueueOptions, QueueSettings } from "./sinks/settings.js";
export { waitAtMost, withDeadline } from "./values/deadline.js";
export { stopwatch } from "./values/stopwatch.js";
