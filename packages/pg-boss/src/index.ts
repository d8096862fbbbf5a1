import type {
  EventMap,
  EventType,
  ListenerContext,
  Off,
  ReceivedEvent,
  Receiver,
  UnrecognizedEvent,
  WebhookEvent,
} from "@crowdhook/core";
import {
  createDurableSink,
  type DurableSink,
  type QueueOptions,
  type WorkOptions,
} from "@crowdhook/core/sink";
import { SetupError, type Transaction } from "./database/database.js";
import { openPglite } from "./database/pglite.js";
import { openPostgres } from "./database/postgres.js";
import { createPgBossEngine, type PgBossEngine } from "./engine.js";
import type { Ordering } from "./job.js";
import type { WorkSettings } from "./queued-jobs.js";
import { checkSchemaName } from "./schema.js";

export type { Transaction } from "./database/database.js";
export { schemaSql } from "./schema.js";

/** Exactly one of `connection` and `dataDir` is required. */
export interface PgBossSinkOptions extends QueueOptions {
  /** PostgreSQL: a URL, or the options of node-postgres' `Pool`. */
  readonly connection?: string | Readonly<Record<string, unknown>> | undefined;
  /**
   * PGlite (PostgreSQL inside this process): the folder of its data, on a local file system. Only one
   * process can open it.
   */
  readonly dataDir?: string | undefined;
  /** The database schema for all tables. No other program may use it. Default `"crowdhook"`. */
  readonly schema?: string | undefined;
  /**
   * Returns an event's ordering key. Events of one key are handled one after another in the order in which
   * they were stored, across all processes and retries. An event without a key waits for no other. All
   * processes must agree on whether there is an order: it has queues of its own.
   */
  readonly orderingKey?: ((event: ReceivedEvent) => string | undefined) | undefined;
  /**
   * With `orderingKey`: whether an event that has failed for good blocks later events of its key. `"block"`
   * keeps them waiting until it is replayed or discarded; `"skip"` lets them go on. Default `"block"`.
   */
  readonly onFailed?: "block" | "skip" | undefined;
}

/** Options of a worker whose listeners write to the queue's database. */
export interface TransactionalWorkOptions extends WorkOptions {
  /** Runs the listeners of each event in one database transaction, `context.tx`. */
  readonly transactional: true;
  /**
   * How long a transaction may take, in seconds. After that it is rolled back and the attempt fails.
   * Default: no limit on PostgreSQL; 5 on PGlite, where deliveries wait for the transaction.
   */
  readonly transactionTimeout?: number | undefined;
}

/** The context of a listener whose worker is transactional. */
export interface TransactionalContext extends ListenerContext {
  /**
   * The transaction. A listener's writes through it commit together with the completion of the event, or
   * not at all.
   */
  readonly tx: Transaction;
}

/** Registers listeners that get a transaction. They are the receiver's own listeners. */
export interface TransactionalListening<Events extends EventMap> {
  on<Type extends EventType<Events>>(
    type: Type | readonly Type[],
    listener: (event: WebhookEvent<Events, Type>, context: TransactionalContext) => unknown,
  ): Off;
  onAny(listener: (event: ReceivedEvent<Events>, context: TransactionalContext) => unknown): Off;
  onUnrecognized(listener: (event: UnrecognizedEvent, context: TransactionalContext) => unknown): Off;
}

export interface PgBossSink extends DurableSink {
  /**
   * Starts a worker as every durable sink does, but runs the listeners of each event in one database
   * transaction. Returns the receiver, whose listeners get `context.tx`. Register them at once: the worker
   * starts after the current turn of the event loop.
   *
   * @throws TypeError for invalid options, for a second receiver of the same provider, or after `close`.
   */
  work<Events extends EventMap>(
    receiver: Receiver<Events>,
    options: TransactionalWorkOptions,
  ): TransactionalListening<Events>;
  work<Events extends EventMap>(receiver: Receiver<Events>, options?: WorkOptions): void;
  /**
   * Returns the ordering keys whose events wait for an event that has failed for good. Replay or discard
   * that event.
   */
  blockedKeys(): Promise<readonly string[]>;
  /**
   * Creates the schema and its tables, and moves the events of an older release into them. The first use
   * of the sink does the same, except for the move. Run it with a role that may create tables, while no
   * process of the older release runs.
   */
  migrate(): Promise<void>;
}

/** The first start of PGlite takes seconds, and a takeover of its folder ten more. */
const STORE_TIMEOUT_MS = { postgres: 3_000, pglite: 30_000 };
const YEAR_S = 365 * 24 * 60 * 60;
/** In seconds. */
const PGLITE_TRANSACTION_TIMEOUT = 5;

/**
 * Creates a durable sink on pg-boss. Events are rows in PostgreSQL or PGlite. The sink connects at its
 * first use, not here.
 *
 * @throws TypeError for invalid options.
 */
export function pgBossSink(options: PgBossSinkOptions): PgBossSink {
  const { connection, dataDir, schema = "crowdhook" } = options;
  if ((connection === undefined) === (dataDir === undefined)) {
    throw new TypeError("pgBossSink takes either connection (PostgreSQL) or dataDir (PGlite). Pass one.");
  }
  checkSchemaName(schema);
  checkLimits(options);
  const ordering = orderingOf(options);
  const isPglite = dataDir !== undefined;
  let engine: PgBossEngine | undefined;
  const sink = createDurableSink(options, {
    name: "pg-boss sink",
    server: isPglite ? "PGlite" : "PostgreSQL",
    storeTimeout: isPglite ? STORE_TIMEOUT_MS.pglite : STORE_TIMEOUT_MS.postgres,
    // These messages hold no password and no payload.
    explain: (error) => (error instanceof SetupError ? error.message : undefined),
    createEngine(context) {
      engine = createPgBossEngine(
        context,
        schema,
        async () =>
          isPglite ? openPglite(dataDir) : openPostgres(connection ?? "", context.reportUnreachable),
        ordering,
        (given) => workSettings(given, isPglite),
      );
      return engine;
    },
  });
  return {
    ...sink,
    work: ((receiver, options) => {
      sink.work(receiver, options);
      // Its listeners get the transaction with their context.
      return receiver as unknown;
    }) as PgBossSink["work"],
    blockedKeys: async () => (await engine?.blockedKeys()) ?? [],
    migrate: async () => engine?.migrate(),
  };
}

/** @throws TypeError for numbers that do not fit into pg-boss' columns: storing events would fail. */
function checkLimits(options: QueueOptions): void {
  const limits = { attempts: 2 ** 31 - 1, backoff: YEAR_S, retention: 60 * YEAR_S, lease: YEAR_S };
  for (const [option, limit] of Object.entries(limits)) {
    const value = options[option as keyof typeof limits];
    if (value !== undefined && value > limit) {
      throw new TypeError(`${option} must be at most ${limit}, not ${value}.`);
    }
  }
}

function orderingOf({ orderingKey, onFailed = "block" }: PgBossSinkOptions): Ordering | undefined {
  if (onFailed !== "block" && onFailed !== "skip") {
    throw new TypeError(`onFailed must be "block" or "skip", not ${JSON.stringify(onFailed)}.`);
  }
  if (orderingKey === undefined) return undefined;
  if (typeof orderingKey !== "function") {
    throw new TypeError("orderingKey must be a function that returns an event's ordering key.");
  }
  return { orderingKey, onFailed };
}

function workSettings(options: Partial<TransactionalWorkOptions>, isPglite: boolean): WorkSettings {
  const { transactional = false, transactionTimeout } = options;
  if (typeof transactional !== "boolean") throw new TypeError("transactional must be true or false.");
  if (transactionTimeout !== undefined && !(transactionTimeout > 0 && transactionTimeout <= 86_400)) {
    throw new TypeError("transactionTimeout must be a number of seconds, above 0 and at most 86400.");
  }
  return {
    transactional,
    transactionTimeout: transactionTimeout ?? (isPglite ? PGLITE_TRANSACTION_TIMEOUT : undefined),
  };
}
