import { kindOf } from "../errors.js";
import type { EventMap, ReceivedEvent, UnrecognizedType } from "../event.js";
import { createLog, type Log, quote } from "../observing/log.js";
import type { Receiver } from "../receiver.js";
import { withDeadline } from "../values/deadline.js";
import type { DurableSink, FailedEvent, FailedFilter } from "./durable-sink.js";
import { checkFilter, scanLimit, selectFailed } from "./failed-filter.js";
import type {
  EngineContext,
  EngineDefinition,
  EngineWorker,
  QueueEngine,
  RunEvent,
  StoredFailure,
} from "./queue-engine.js";
import {
  deduplicationKey,
  deserializeEvent,
  type SerializedEvent,
  serializeEvent,
  withoutData,
} from "./serialized-event.js";
import { type QueueOptions, type QueueSettings, queueSettings, requirePositiveInteger } from "./settings.js";

const STORE_TIMEOUT_MS = 3_000;
/** Added for each event: 10,000 of them are one statement, which takes seconds on a busy machine. */
const STORE_TIMEOUT_PER_EVENT_MS = 1;
const CLOSED = "The sink is closed. Create a new one.";
const ADVICE = "Check that it runs, is reachable and accepts the commands of this app.";
/** In UTF-16 units. */
const MESSAGE_MAX = 2_000;

/**
 * Makes a durable sink from a queue engine. The sink validates arguments, serializes events and limits
 * how long storing takes. When it closes, it stops the workers before the engine. The engine talks to its
 * server.
 *
 * @throws TypeError for invalid options.
 */
export function createDurableSink(options: QueueOptions, definition: EngineDefinition): DurableSink {
  const { name, server, storeTimeout = STORE_TIMEOUT_MS } = definition;
  const closing = new AbortController();
  const log = createLog(name);
  const context = contextFor(definition, queueSettings(options), closing.signal, log);
  const engine = definition.createEngine(context);
  const workers = new Map<string, EngineWorker>();
  let closed: Promise<void> | undefined;

  function requireOpen(): void {
    if (closed) throw new Error(CLOSED);
  }

  /** An event that cannot be serialized must not keep the other events of its delivery from being stored. */
  function serialize(event: ReceivedEvent): SerializedEvent {
    try {
      return serializeEvent(event);
    } catch (error) {
      log(
        "unserializable",
        `JSON cannot represent event ${quote(event.id)} of type ${quote(event.type)} (${kindOf(error)}). The sink stores the event without its data.`,
      );
      return withoutData(event, `JSON cannot represent the event: ${messageOf(error)}`);
    }
  }

  async function find(filter: FailedFilter): Promise<readonly FailedEvent[]> {
    checkFilter(filter);
    requireOpen();
    return selectFailed(await engine.failed(scanLimit(filter)), filter, failedEvent);
  }

  /** Does `action` to the failed event with this id, or to all that match the filter. */
  async function each(
    target: string | FailedFilter,
    action: QueueEngine["replay"],
  ): Promise<boolean | number> {
    requireOpen();
    if (typeof target !== "object") return action(...idParts(target));
    let done = 0;
    for (const { id } of await find(target)) if (await action(...idParts(id))) done++;
    return done;
  }

  async function replayOne(provider: string, key: string): Promise<boolean> {
    const found = await engine.replay(provider, key);
    if (found) workers.get(provider)?.wake?.();
    return found;
  }

  const discardOne: QueueEngine["discard"] = (provider, key) => engine.discard(provider, key);

  async function close(): Promise<void> {
    await Promise.all([...workers.values()].map((worker) => worker.stop()));
    await engine.close();
  }

  return {
    async accept(events) {
      const [first] = events;
      if (first === undefined) return;
      requireOpen();
      const { provider } = first;
      const limit = storeTimeout + events.length * STORE_TIMEOUT_PER_EVENT_MS;
      try {
        await withDeadline(limit, engine.store(provider, events.map(serialize)), () => {
          throw new SlowServer(
            `${server} has not answered within ${Math.round(limit / 1000)} seconds. ${ADVICE}`,
          );
        });
      } catch (error) {
        context.reportUnreachable(error);
        throw error;
      }
      workers.get(provider)?.wake?.();
    },

    work(receiver, options = {}) {
      const { concurrency = 1 } = options;
      requirePositiveInteger("concurrency", concurrency, "number");
      const { name } = receiver.provider;
      if (closed) throw new TypeError(CLOSED);
      if (workers.has(name)) {
        throw new TypeError(
          `This sink already works for a receiver of ${name}. Call work only once. Raise concurrency to handle more events at once.`,
        );
      }
      workers.set(name, engine.work(name, runFor(receiver), concurrency, options));
    },

    ...timesOf(engine, requireOpen),

    async ready() {
      requireOpen();
      await engine.ready?.();
    },

    failed: (filter = {}) => find(typeof filter === "number" ? { limit: filter } : { limit: 100, ...filter }),
    replay: ((target: string | FailedFilter) => each(target, replayOne)) as DurableSink["replay"],
    discard: ((target: string | FailedFilter) => each(target, discardOne)) as DurableSink["discard"],

    close() {
      closing.abort();
      closed ??= close();
      return closed;
    },
  };
}

function timesOf(
  { latestOccurrence, recordOccurrence }: QueueEngine,
  requireOpen: () => void,
): Pick<DurableSink, "latestOccurrence" | "recordOccurrence"> {
  if (!latestOccurrence || !recordOccurrence) return {};
  return {
    async latestOccurrence(key) {
      requireOpen();
      return latestOccurrence(key);
    },
    async recordOccurrence(key, time) {
      requireOpen();
      await recordOccurrence(key, time);
    },
  };
}

/** Splits the id of a failed event into the provider and the event's id. */
function idParts(id: string): [provider: string, key: string] {
  const [provider = "", ...rest] = String(id).split(":");
  return [provider, rest.join(":")];
}

function contextFor(
  { server, codeOf, explain }: EngineDefinition,
  settings: QueueSettings,
  closing: AbortSignal,
  log: Log,
): EngineContext {
  const codeOrKind = (error: unknown) => codeOf?.(error) ?? kindOf(error);
  return {
    settings,
    closing,
    queueName: (provider) => `${settings.queue}-${provider}`,
    reportUnreachable(error) {
      const code = codeOrKind(error);
      const explanation = explain?.(error);
      if (explanation !== undefined) log("setup", explanation);
      else log("unreachable", `${server} failed (${code}). ${ADVICE}`, code);
    },
    codeOf: codeOrKind,
    messageOf,
  };
}

function runFor<Events extends EventMap>(receiver: Receiver<Events>): RunEvent {
  return async (data, context) => receiver.dispatch(deserializeEvent(data) as ReceivedEvent<Events>, context);
}

function failedEvent({ provider, jobId, data, type = "", ...failure }: StoredFailure): FailedEvent {
  let event: ReceivedEvent;
  try {
    event = deserializeEvent(data);
  } catch {
    // A newer release stored the event, so this release cannot read it. The operator must still see it.
    event = {
      provider,
      type: type as UnrecognizedType,
      id: "",
      occurredAt: undefined,
      data: data as Record<string, unknown>,
      problems: [],
    };
  }
  const { error, attempts, failedAt } = failure;
  return { id: `${provider}:${deduplicationKey(event) || jobId}`, event, error, attempts, failedAt };
}

class SlowServer extends Error {
  override name = "TimeoutError";
}

function messageOf(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return text.slice(0, MESSAGE_MAX);
  } catch {
    // A thrown object can have getters that throw.
    return "The error has no readable message.";
  }
}
