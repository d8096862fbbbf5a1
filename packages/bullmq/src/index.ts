import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { EventMap, ReceivedEvent, Receiver } from "@crowdhook/core";
import {
  createLog,
  type DurableSink,
  deserializeEvent,
  type FailedEvent,
  messageOf,
  type QueueOptions,
  queueSettings,
  requireWhole,
  serializeEvent,
} from "@crowdhook/core/sink";
import { Job, type JobsOptions, Queue, UnrecoverableError, Worker } from "bullmq";
import type { Redis, RedisOptions } from "ioredis";
import { type Connection, connect, reasonOf } from "./connection.js";

export interface BullmqSinkOptions extends QueueOptions {
  /** Redis: its URL, `redis://` or `rediss://`, or what ioredis' `Redis` takes. */
  readonly connection: string | RedisOptions;
  /**
   * For how long a worker that died keeps its events from the others, in seconds. One that lives
   * renews that. Default 60.
   */
  readonly lease?: number | undefined;
}

/** Redis is given so long to store a delivery; then that is to be delivered again. */
const ANSWER_MS = 2_500;
/** And so long to list what failed. */
const LISTING_MS = 30_000;
/** A connection on which a command has no answer for so long is dead. BullMQ blocks for at most 10 s. */
const SILENCE_MS = 15_000;
/** When the sink is closed, Redis is given so long to note what became of the last events. */
const LAST_WORDS_MS = 5_000;
/** BullMQ cannot hold times that are more than some years away. */
const BACKOFF_MAX_MS = 365 * 24 * 60 * 60 * 1000;

/**
 * A sink on BullMQ: events are jobs in Redis, in one queue for each provider. Nothing is opened before
 * it is used.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function bullmqSink(options: BullmqSinkOptions): DurableSink {
  const { queue, attempts, backoff, retention } = queueSettings(options);
  const { connection, lease = 60 } = options;
  const isUsable =
    typeof connection === "string" ? /^rediss?:\/\//.test(connection) : typeof connection === "object";
  if (!isUsable || connection === null) {
    // Without the value: it may hold a password.
    throw new TypeError(
      "bullmqSink takes { connection }, a URL such as redis://127.0.0.1:6379 or ioredis' options.",
    );
  }
  requireWhole("lease", lease, "number of seconds");

  /** A set: the providers that there are queues of. */
  const providersKey = `${queue}:providers`;
  const jobOptions: JobsOptions = {
    attempts,
    backoff: { type: "crowdhook" },
    removeOnComplete: { age: retention },
    // The message is kept; a stack would show the operator's files to whoever sees the queue.
    stackTraceLimit: 0,
  };

  const log = createLog("bullmq sink");
  const onTrouble = (error: unknown) => log("unreachable", `Redis failed (${reasonOf(error)}).`);
  const connections: Connection[] = [];
  const queues = new Map<string, Queue>();
  /** Providers that Redis was told of, and on which connection: it may have lost them with the one before. */
  const known = new Map<string, number>();
  const workers = new Map<string, Worker>();
  /** Events that are being handled. */
  const running = new Set<Promise<void>>();
  /** For all but working. */
  let asking: Connection | undefined;
  let closing: Promise<void> | undefined;

  function open(options: RedisOptions): Connection {
    const opened = connect(connection, { ...options, socketTimeout: SILENCE_MS }, onTrouble);
    connections.push(opened);
    return opened;
  }

  /** Rejects in time, and without what Redis or ioredis says, which may name an address. */
  async function ask<T>(
    milliseconds: number,
    question: (client: Redis, asked: Connection) => Promise<T>,
  ): Promise<T> {
    if (closing) throw new Error("The sink is closed.");
    // A command that cannot be sent fails: if it were sent later, nobody would wait for it any more.
    asking ??= open({ enableOfflineQueue: false, maxRetriesPerRequest: 0 });
    const asked = asking;
    const { client } = asked;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), milliseconds);
    let { times } = asked;
    const answer = async () => {
      if (client.status !== "ready") await once(client, "ready", { signal: deadline.signal });
      times = asked.times;
      return question(client, asked);
    };
    const late = once(deadline.signal, "abort").then(() => Promise.reject(deadline.signal.reason));
    try {
      return await Promise.race([answer(), late]);
    } catch (error) {
      // The next connection may reach a server that answers. It is also given BullMQ's scripts anew: a
      // server that has forgotten them is not told them again in a transaction.
      if (client.status === "ready" && asked.times === times) client.disconnect(true);
      throw new Error(`Redis failed (${deadline.signal.aborted ? "no answer in time" : reasonOf(error)}).`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** To be called when the client is ready: a `Queue` whose first command fails never recovers. */
  function queueOf(provider: string, client: Redis): Queue {
    const opened = queues.get(provider);
    if (opened) return opened;
    const made = new Queue(`${queue}-${provider}`, {
      connection: client,
      skipVersionCheck: true,
      skipMetasUpdate: true,
    });
    // What it tells, the client has told.
    made.on("error", () => {});
    queues.set(provider, made);
    return made;
  }

  /**
   * All or none. One job is one script; several are a transaction: `Queue.addBulk` of BullMQ 6.7 is none,
   * and `FlowProducer.addBulk` hides its errors.
   */
  async function store(provider: string, jobs: readonly Kept[], asked: Connection): Promise<void> {
    const { client, times } = asked;
    const jobsOfProvider = queueOf(provider, client);
    const told = known.get(provider) === times ? undefined : client.sadd(providersKey, provider);
    const [first] = jobs;
    if (jobs.length === 1 && first) {
      const { type, id, data } = first;
      await Promise.all([jobsOfProvider.add(type, data, { ...jobOptions, jobId: id }), told]);
    } else {
      const entries = jobs.map(({ type, id, data }) =>
        new Job(jobsOfProvider, type, data, { ...jobOptions, jobId: id }, id).toFlowEntry(),
      );
      const [results] = await Promise.all([jobsOfProvider.getBackend().addFlow(entries), told]);
      if (results.length !== jobs.length) throw new Error("Not all events were stored.");
      for (const [error, id] of results) {
        if (error) throw error;
        if (typeof id !== "string") throw new Error("An event was not stored.");
      }
    }
    known.set(provider, times);
  }

  async function handle<Events extends EventMap>(
    receiver: Receiver<Events>,
    job: Job,
    signal: AbortSignal,
  ): Promise<void> {
    // Counts the attempts that ended with their worker, too.
    const attempt = job.attemptsStarted;
    if (attempt > (job.opts.attempts ?? 1)) {
      throw new UnrecoverableError("The worker ended, or lost its connection, at the last attempt.");
    }
    try {
      await receiver.dispatch(deserializeEvent(job.data) as ReceivedEvent<Events>, {
        signal,
        attempt,
        progress: (value) => job.updateProgress(value),
      });
    } catch (error) {
      // BullMQ stores the message, and does special things to errors of certain names.
      throw new Error(messageOf(error));
    }
  }

  return {
    async accept(events) {
      const [first] = events;
      if (first === undefined) return;
      const jobs = events.map((event) => ({
        type: event.type,
        id: event.id === "" ? `random-${randomUUID()}` : jobIdOf(event.id),
        data: serializeEvent(event),
      }));
      // What is no JSON is no fault of Redis, and nothing is to be sent of its delivery.
      JSON.stringify(jobs);
      await ask(ANSWER_MS, (_client, asked) => store(first.provider, jobs, asked));
    },

    work(receiver, { concurrency = 1 } = {}) {
      requireWhole("concurrency", concurrency, "number");
      const { name } = receiver.provider;
      if (closing) throw new TypeError("The sink is closed.");
      if (workers.has(name)) throw new TypeError(`This sink works for a receiver of ${name} already.`);
      // Its commands wait for Redis to come back.
      const { client } = open({ enableOfflineQueue: true, maxRetriesPerRequest: null });
      const worker = new Worker(
        `${queue}-${name}`,
        async (job, _token, signal) => {
          const handling = handle(receiver, job, signal as AbortSignal);
          running.add(handling);
          try {
            await handling;
          } finally {
            running.delete(handling);
          }
        },
        {
          connection: client,
          concurrency,
          lockDuration: lease * 1000,
          stalledInterval: (lease * 1000) / 2,
          // How often is counted by `attempts`.
          maxStalledCount: Number.MAX_SAFE_INTEGER,
          runRetryDelay: 1_000,
          settings: { backoffStrategy: (_made, _type, _error, job) => delayOf(job as Job, backoff) },
        },
      );
      worker.on("error", onTrouble);
      worker.on("lockRenewalFailed", (ids: string[]) => {
        for (const id of ids) worker.cancelJob(id);
      });
      workers.set(name, worker);
    },

    async failed(limit = 100) {
      requireWhole("limit", limit, "number");
      return ask(LISTING_MS, async (client) => {
        const providers = await client.smembers(providersKey);
        const listed = await Promise.all(
          providers.map(async (provider) => {
            const jobs = await queueOf(provider, client).getJobs(["failed"], 0, limit - 1, true);
            return jobs.filter(({ finishedOn }) => finishedOn).map((job) => failedOf(provider, job));
          }),
        );
        return listed
          .flat()
          .sort((a, b) => Number(a.failedAt) - Number(b.failedAt))
          .slice(0, limit);
      });
    },

    async replay(id) {
      const [provider = "", ...rest] = String(id).split(":");
      const eventId = rest.join(":");
      return ask(ANSWER_MS, async (client) => {
        if ((await client.sismember(providersKey, provider)) === 0) return false;
        const jobs = queueOf(provider, client);
        const opaque = /^(?:event|random)-[\w-]{36,}$/.test(eventId) ? await jobs.getJob(eventId) : undefined;
        const job = (await jobs.getJob(jobIdOf(eventId))) ?? opaque;
        if (job === undefined) return false;
        try {
          await job.retry("failed", { resetAttemptsMade: true, resetAttemptsStarted: true });
          return true;
        } catch (error) {
          // It is gone, or not among the failed ones. Source: BullMQ, enums/error-code.
          const { code } = error as { code?: unknown };
          if (code === -1 || code === -3) return false;
          throw error;
        }
      });
    },

    close() {
      closing ??= (async () => {
        let drained = false;
        const timer = new AbortController();
        const draining = Promise.all([...workers.values()].map((worker) => worker.close())).then(() => {
          drained = true;
        });
        do {
          await Promise.allSettled(running);
          await Promise.race([draining, delay(LAST_WORDS_MS, undefined, { signal: timer.signal })]);
        } while (!drained && running.size > 0);
        timer.abort();
        await Promise.all(connections.map((opened) => opened.end()));
        await draining;
      })();
      return closing;
    },
  };
}

interface Kept {
  readonly type: string;
  readonly id: string;
  readonly data: unknown;
}

/**
 * Of the event's id, in whose place BullMQ would take `meta` for a key of its own, refuse an integer or
 * a ":", and which may hold half of a surrogate pair, that UTF-8 cannot tell from another.
 */
function jobIdOf(eventId: string): string {
  return `event-${createHash("sha256").update(JSON.stringify(eventId)).digest("base64url")}`;
}

/** In milliseconds; -1 for never. */
function delayOf({ attemptsStarted, opts }: Job, backoff: number): number {
  if (attemptsStarted >= (opts.attempts ?? 1)) return -1;
  return Math.min(backoff * 1000 * 2 ** (attemptsStarted - 1) * (1 + Math.random()), BACKOFF_MAX_MS);
}

function failedOf(provider: string, job: Job): FailedEvent {
  let event: ReceivedEvent;
  try {
    event = deserializeEvent(job.data);
  } catch {
    // Of a newer release: shown as far as it can be.
    event = { provider, type: job.name, id: "", occurredAt: undefined, data: job.data, problems: [] };
  }
  return {
    id: `${provider}:${event.id || job.id}`,
    event,
    error: job.failedReason ?? "",
    attempts: Math.min(job.attemptsStarted, job.opts.attempts ?? 1),
    failedAt: new Date(job.finishedOn ?? 0),
  };
}
