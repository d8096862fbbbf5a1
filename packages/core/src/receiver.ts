import { hasSubscribers } from "#diagnostics";
import { verify } from "#hmac";
import { memoryClaims } from "./claims.js";
import {
  type BodyFailure,
  bytesOf,
  type Counts,
  chain,
  type Delivery,
  headersOf,
  type IncomingDelivery,
  isThenable,
  type MaybePromise,
  parseJson,
  type Reply,
  replyTo,
} from "./delivery.js";
import { ERRORS, type ErrorCode, kindOf } from "./errors.js";
import type { EventMap, EventType, ReceivedEvent } from "./event.js";
import { explainMismatch, untimely } from "./explain.js";
import { createGate, createLanes, type Place } from "./lanes.js";
import { createListeners, type Limit, type ListenerContext, type Listening } from "./listeners.js";
import { createLog } from "./log.js";
import { type DeliveryRecord, type EventRecord, runInside, tell } from "./observe.js";
import { checkOptions, type ReceiverOptions, type Sink } from "./options.js";
import type { Provider, SignatureParts } from "./provider.js";
import { keysFrom, secretsFrom } from "./secrets.js";
import { type Batch, type Claimed, createTurns, type Outcome, type Ticket, Turn } from "./turns.js";

/** Verifies deliveries, reads their events and has each one handled once. */
export interface Receiver<Events extends EventMap = EventMap> extends Listening<Events> {
  readonly provider: Provider<Events>;
  /**
   * Processes one delivery; never rejects. When it resolves, every event was handled and settled,
   * or its claim was released, so that delivering it again is safe and repeats only what failed.
   */
  handle(delivery: IncomingDelivery): Promise<Reply>;
  /**
   * The event types that a listener is registered for now, in the provider's order; with an `onAny`
   * listener all that this release knows. What is to be subscribed to follows from it.
   */
  listenedTypes(): readonly EventType<Events>[];
  /**
   * Runs the listeners of an event that a sink kept: for the sink's worker.
   *
   * @throws what a listener threw, an `AggregateError` if several did. `onError` has heard it by then.
   */
  emit(event: ReceivedEvent<Events>, context: Omit<ListenerContext, "delivery" | "stale">): Promise<void>;
  /**
   * Refuses deliveries from now on with 503, so that they are sent again, and resolves when those
   * that are being processed have their replies. The replies may still have to be written.
   */
  close(): Promise<void>;
}

/** An event that is settled counts as done for this long, or as long as it can be replayed. */
const DONE_MS = 24 * 60 * 60 * 1000;
/** Added to the time for which a signature can be replayed, for clocks that differ. */
const CLOCK_SKEW_MS = 60_000;
/**
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createReceiver<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
): Receiver<Events> {
  checkOptions(options);
  const { sink, orderBy, timeout, detectStale, observe, instrumentation } = options;
  const { tolerance = 300, maxBodySize = 5 * 1024 * 1024, clock = Date.now } = options;
  const { concurrency = 1, maxInFlight = Number.POSITIVE_INFINITY } = options;
  const keysOf = options.unsigned ? undefined : keysFrom(options.secret);
  const claims = options.claims ?? memoryClaims({ clock });
  const replayableFor = 2 * tolerance * 1000;
  const turns = createTurns(claims, Math.max(DONE_MS, replayableFor), (trouble) =>
    log("STORE_UNAVAILABLE", `${trouble}.`),
  );
  let closing = false;
  let inFlight = 0;
  let onIdle = () => {};
  let closed: Promise<void> | undefined;

  const log = createLog(provider.name);
  const refuse = (code: ErrorCode, reason: string): Verdict => {
    log(code, reason);
    return { code, reason };
  };

  const listeners = createListeners<Events>(provider, timeout, (event) =>
    // Without the error's message: that may hold anything. An onError listener gets it whole.
    log("EVENT_FAILED", `event ${quoted(event.id)} of type ${quoted(event.type)} failed. onError hears why.`),
  );
  const lanes = concurrency > 1 || orderBy ? createLanes() : undefined;
  const keyOf = (event: ReceivedEvent<Events>): string | undefined => {
    if (!orderBy) return provider.readSubject(event);
    try {
      const key: unknown = orderBy(event);
      if (key === undefined || typeof key === "string") return key;
      throw new TypeError("neither a string nor undefined");
    } catch (error) {
      log("orderBy", `failed, or returned neither a string nor undefined (${kindOf(error)}).`);
      throw error;
    }
  };

  async function receive(incoming: IncomingDelivery, notes: Notes | undefined): Promise<Verdict> {
    const headers = headersOf(incoming.headers);
    if (incoming.method !== "POST") return { code: "METHOD_NOT_ALLOWED" };
    const encoding = headers.get("content-encoding");
    if (encoding && encoding.trim().toLowerCase() !== "identity") return { code: "ENCODING_UNSUPPORTED" };

    const body = await bodyOf(incoming, maxBodySize);
    if (!(body instanceof Uint8Array)) {
      return body.code === "BODY_UNAVAILABLE"
        ? refuse(body.code, body.hint ?? NO_BYTES)
        : { code: body.code };
    }
    if (notes) notes.bytes = body.byteLength;
    if (body.byteLength > maxBodySize) return { code: "BODY_TOO_LARGE" };

    const delivery: Delivery = { method: incoming.method, headers, body };
    const verifying = notes ? performance.now() : 0;
    const digest = keysOf && (await verifiedDigest(keysOf, delivery));
    if (notes) notes.verify = performance.now() - verifying;
    if (typeof digest === "object") return digest;

    const json = parseJson(body);
    const events = json && provider.readEvents(json.value, headers);
    if (events === undefined) {
      return refuse(
        json ? "ENVELOPE_INVALID" : "BODY_NOT_JSON",
        "a delivery that is accepted by its signature cannot be read. Its events are lost unless it is mended.",
      );
    }

    const handling = notes ? performance.now() : 0;
    const outcomes = await handleEvents(events, digest, contextsOf(delivery, incoming));
    if (notes) {
      notes.handle = performance.now() - handling;
      notes.events = outcomes.map((outcome, i) => {
        const { id, type } = events[i] as ReceivedEvent<Events>;
        return { id, type, outcome };
      });
    }
    return { code: codeOf(outcomes), counts: count(outcomes) };
  }

  /** The signature's digest, once it is known to fit and to be in time. */
  async function verifiedDigest(
    keysOf: ReturnType<typeof keysFrom>,
    delivery: Delivery,
  ): Promise<string | Verdict> {
    const signature = provider.readSignature(delivery.headers);
    if (typeof signature === "string") return { code: signature };
    let keys: Awaited<ReturnType<typeof keysOf>>;
    try {
      const found = keysOf(delivery);
      keys = isThenable(found) ? await found : found;
    } catch (error) {
      return refuse(
        "SECRET_UNAVAILABLE",
        `the secret function failed, or gave what cannot be a secret (${kindOf(error)}).`,
      );
    }
    const verified = verify(keys, signature.prefix, delivery.body, signature.digest);
    if (!(isThenable(verified) ? await verified : verified)) {
      // Looked into as seldom as it is logged: forgeries must not be made expensive to refuse.
      if (!log.isDue("SIGNATURE_MISMATCH")) return { code: "SIGNATURE_MISMATCH", reason: MISMATCH };
      const reason = (await causeOfMismatch(signature, delivery)) ?? MISMATCH;
      log.print("SIGNATURE_MISMATCH", reason);
      return { code: "SIGNATURE_MISMATCH", reason };
    }
    const age = clock() - signature.timestamp;
    // Put so that a clock or a time that is not a number is out of tolerance, too.
    if (Math.abs(age) <= tolerance * 1000) return signature.digest;
    return refuse("TIMESTAMP_OUT_OF_TOLERANCE", untimely(age / 1000, tolerance, clock()));
  }

  async function causeOfMismatch(signature: SignatureParts, delivery: Delivery): Promise<string | undefined> {
    try {
      const secrets = await secretsFrom(options.secret, delivery);
      return await explainMismatch(secrets, signature, delivery.body);
    } catch {
      // A body can be nested too deep to be written anew.
      return undefined;
    }
  }

  /**
   * Claims all events at once, so that a store's commands travel together. Then handles those won,
   * in order or by lanes; each is settled as soon as it succeeded, while others are being handled.
   */
  async function handleEvents(
    events: readonly ReceivedEvent<Events>[],
    digest: string | undefined,
    contextFor: ContextFor,
  ): Promise<readonly Outcome[]> {
    const batch: Batch = { storeFailed: false };
    // All tickets and keys first: what throws at one must not leave turns behind that nobody ends.
    const tickets = events.map((event) => ticketOf(event, digest));
    const keys = lanes && events.map(keyOf);
    const begun = events.map((event, i) => turns.begin(event, tickets[i], batch));
    // Claims in this process's own memory cannot be lost while they are held.
    const stopRenewing = options.claims && turns.renew(begun);
    const settling: PromiseLike<unknown>[] = [];
    const settle = (turn: Turn, outcome: Outcome | undefined) => {
      if (outcome === undefined) return;
      const settled = turns.conclude(turn, outcome);
      if (isThenable(settled)) settling.push(settled);
    };
    try {
      if (lanes && keys) {
        await inLanes(lanes, keys, begun, async (turn, claim) =>
          settle(turn, await attempt(turn, claim, (won) => listen(won, contextFor))),
        );
      } else {
        const sunk = sink && (await offer(sink, begun, contextFor(false)));
        const handle = (won: Turn) => sunk ?? listen(won, contextFor);
        for (const turn of begun) {
          const claim = isThenable(turn.claim) ? await turn.claim : turn.claim;
          const outcome = attempt(turn, claim, handle);
          settle(turn, isThenable(outcome) ? await outcome : outcome);
        }
      }
      if (settling.length > 0) await Promise.all(settling);
      return begun.map((turn) => turn.outcome as Outcome);
    } finally {
      stopRenewing?.();
    }
  }

  /** The outcome of an event whose claim is won; `undefined` of any other, whose turn is ended here. */
  function attempt(
    turn: Turn,
    claim: Claimed,
    handle: (turn: Turn) => MaybePromise<Outcome>,
  ): MaybePromise<Outcome | undefined> {
    if (claim instanceof Turn) return chain(turns.follow(turn, claim), () => undefined);
    // The events before it may have taken long.
    const confirmed = claim === "won" && !sink ? turns.confirm(turn) : claim;
    if (confirmed === "won") return handle(turn);
    return chain(confirmed, (claim) =>
      claim === "won"
        ? handle(turn)
        : chain(turns.end(turn, claim === "done" ? "duplicate" : (claim ?? "unclaimed")), () => undefined),
    );
  }

  /**
   * Has each event's turn taken when those of its key before it are over, at most `concurrency` at
   * once. What is not won here waits for nobody: it may follow a turn that waits for it.
   */
  async function inLanes(
    { enter }: ReturnType<typeof createLanes>,
    keys: readonly (string | undefined)[],
    begun: readonly Turn[],
    take: (turn: Turn, claim: Claimed) => Promise<void>,
  ): Promise<void> {
    const gate = createGate(concurrency);
    const places = keys.map(enter);
    const walk = async (turn: Turn, { ahead, leave }: Place) => {
      const claim = await turn.claim;
      if (claim !== "won") return take(turn, claim);
      await ahead;
      await gate.enter();
      try {
        await take(turn, claim);
      } finally {
        gate.leave();
        leave();
      }
    };
    const walks = begun.map((turn, i) => {
      const place = places[i] as Place;
      chain(turn.claim, (claim) => claim === "won" || place.leave());
      return () => walk(turn, place);
    });
    if (concurrency > 1) {
      await Promise.all(walks.map((begin) => begin()));
    } else {
      // In the order of the delivery, too.
      for (const begin of walks) await begin();
    }
  }

  function ticketOf(event: ReceivedEvent<Events>, digest: string | undefined): Ticket | undefined {
    const signature =
      digest === undefined || provider.idsAreSigned ? undefined : `${provider.name}/signature:${digest}`;
    // Without an id, what is left to claim it by is the signature, if that stands for one event.
    if (event.id === "") return signature === undefined ? undefined : { key: signature };
    const about = detectStale && event.occurredAt ? provider.readSubject(event) : undefined;
    return {
      key: `${provider.name}:${event.id}`,
      ...(signature !== undefined && {
        binding: { key: signature, lease: replayableFor + CLOCK_SKEW_MS },
      }),
      ...(about !== undefined && {
        subject: {
          key: `${provider.name}/latest:${event.type}:${about}`,
          occurredAt: Number(event.occurredAt),
        },
      }),
    };
  }

  /** Runs the listeners of an event whose claim is won. */
  function listen(turn: Turn, contextFor: ContextFor): MaybePromise<Outcome> {
    const event = turn.event as ReceivedEvent<Events>;
    return chain(turns.isStale(turn), (stale) =>
      chain(
        emit(event, (limit) => contextFor(stale, limit)),
        (failures) => (failures.length > 0 ? "failed" : event.problems ? "unrecognized" : "handled"),
      ),
    );
  }

  /** What the listeners threw. */
  function emit(
    event: ReceivedEvent<Events>,
    contextFor: (limit?: Limit) => ListenerContext,
  ): MaybePromise<readonly unknown[]> {
    if (!instrumentation) return listeners.emit(event, contextFor);
    let failures: readonly unknown[] = [];
    const ran = runInside(
      (run) => instrumentation.event(event, run),
      async () => {
        failures = await listeners.emit(event, contextFor);
        // A copy: what becomes of it must not make a failure a success.
        return [...failures];
      },
      (trouble) => log("instrumentation", trouble),
    );
    return ran.then(() => failures);
  }

  async function offer(
    sink: Sink,
    batch: readonly Turn[],
    context: ListenerContext,
  ): Promise<"handled" | "unsunk"> {
    const won: ReceivedEvent[] = [];
    for (const turn of batch) if ((await turn.claim) === "won") won.push(turn.event);
    if (won.length === 0) return "handled";
    try {
      await sink.accept(won, context);
      return "handled";
    } catch {
      log("SINK_UNAVAILABLE", "the sink failed; its events have to be delivered again.");
      return "unsunk";
    }
  }

  /** Has a delivery processed, and tells those who watch what became of it. */
  async function watched(
    incoming: IncomingDelivery,
    process: (notes: Notes) => Promise<Verdict>,
  ): Promise<Reply> {
    const notes: Notes = { started: performance.now(), events: [], verify: 0, handle: 0 };
    let verdict: Verdict = { code: "INTERNAL_ERROR" };
    const run = async () => {
      verdict = await process(notes).catch(failure);
      const record = recordOf(provider.name, verdict, notes);
      tell(record, observe, (trouble) => log("observe", trouble));
      return record;
    };
    await (instrumentation
      ? runInside(
          (run) =>
            instrumentation.delivery({ provider: provider.name, headers: headersOf(incoming.headers) }, run),
          run,
          (trouble) => log("instrumentation", trouble),
        )
      : run());
    return replyTo(verdict.code, verdict.counts);
  }

  function failure(error: unknown): Verdict {
    return refuse("INTERNAL_ERROR", `${kindOf(error)} while processing a delivery.`);
  }

  const { on, onAny, onUnrecognized, onError, listenedTypes } = listeners;
  return {
    provider,
    on,
    onAny,
    onUnrecognized,
    onError,
    listenedTypes,
    async handle(incoming) {
      const isWatched = observe || instrumentation || hasSubscribers();
      const code = closing ? "SHUTTING_DOWN" : inFlight >= maxInFlight ? "OVERLOADED" : undefined;
      if (code) return isWatched ? watched(incoming, async () => ({ code })) : replyTo(code);
      inFlight++;
      try {
        if (isWatched) return await watched(incoming, (notes) => receive(incoming, notes));
        const verdict = await receive(incoming, undefined);
        return replyTo(verdict.code, verdict.counts);
      } catch (error) {
        return replyTo(failure(error).code);
      } finally {
        if (--inFlight === 0) onIdle();
      }
    },
    async emit(event, context) {
      const failures = await emit(event, (limit) => keptContext(context, limit));
      if (failures.length > 1) throw new AggregateError(failures, "Several listeners failed.");
      if (failures.length === 1) throw failures[0];
    },
    close() {
      closing = true;
      closed ??= new Promise((resolve) => {
        if (inFlight === 0) resolve();
        else onIdle = resolve;
      });
      return closed;
    },
  };
}

/** How a delivery ended. */
interface Verdict {
  readonly code: ErrorCode | undefined;
  readonly reason?: string;
  readonly counts?: Counts;
}

/** What is written down of a delivery that is watched. Durations are in milliseconds. */
interface Notes {
  readonly started: number;
  events: readonly EventRecord[];
  bytes?: number;
  verify: number;
  handle: number;
}

function recordOf(provider: string, { code, reason, counts }: Verdict, notes: Notes): DeliveryRecord {
  const { started, events, bytes, verify, handle } = notes;
  return {
    provider,
    status: code === undefined ? 200 : ERRORS[code].status,
    code,
    reason: reason ?? (code && ERRORS[code].message),
    // A copy: the reply is made of the other one.
    counts: { ...(counts ?? count([])) },
    events,
    bytes,
    durations: { verify, handle, total: performance.now() - started },
  };
}

/** One reply for all events: what the operator has to mend comes before what mends itself. */
function codeOf(outcomes: readonly Outcome[]): ErrorCode | undefined {
  if (outcomes.includes("failed")) return "EVENT_FAILED";
  if (outcomes.includes("unsunk")) return "SINK_UNAVAILABLE";
  if (outcomes.includes("unclaimed") || outcomes.includes("unsettled")) return "STORE_UNAVAILABLE";
  if (outcomes.includes("busy")) return "EVENT_BUSY";
  return undefined;
}

function count(outcomes: readonly Outcome[]): Counts {
  const counts = { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 };
  for (const outcome of outcomes) {
    if (outcome === "unsettled") counts.handled++;
    else if (outcome !== "unclaimed" && outcome !== "unsunk") counts[outcome]++;
  }
  return counts;
}

const MISMATCH = "a delivery fits no secret: it is forged, or its subscription has another secret.";

const NO_BYTES = "handle was given neither bytes nor text, perhaps a parsed body. Pass the raw bytes.";

const BODY_CODES: ReadonlySet<unknown> = new Set(["BODY_TOO_LARGE", "BODY_ABORTED", "BODY_UNAVAILABLE"]);

async function bodyOf({ body }: IncomingDelivery, limit: number): Promise<Uint8Array | BodyFailure> {
  if (typeof body !== "function") return bytesOf(body) ?? { code: "BODY_UNAVAILABLE" };
  try {
    const read = await body(limit);
    // What comes over the wire must not pass for a failure: only what a function says is one.
    if (typeof read === "object" && "code" in read && BODY_CODES.has(read.code)) return read;
    return bytesOf(read) ?? { code: "BODY_UNAVAILABLE" };
  } catch {
    return { code: "BODY_ABORTED" };
  }
}

/** Makes a listener's context. With a limit, its signal is the limit's, and aborts with the other, too. */
type ContextFor = (stale: boolean, limit?: Limit) => ListenerContext;

function contextsOf(delivery: Delivery, incoming: IncomingDelivery): ContextFor {
  let hangUp: AbortSignal | undefined;
  const contextFor = (stale: boolean, limit?: Limit): ListenerContext => ({
    delivery,
    get signal() {
      hangUp ??= incoming.signal ?? new AbortController().signal;
      return limit ? limit.join(hangUp) : hangUp;
    },
    stale,
  });
  const usual = contextFor(false);
  return (stale, limit) => (stale || limit ? contextFor(stale, limit) : usual);
}

/** The context of an event that comes without its delivery. */
function keptContext(
  { signal, ...context }: Omit<ListenerContext, "delivery" | "stale">,
  limit: Limit | undefined,
): ListenerContext {
  const kept = { ...context, signal: limit ? limit.join(signal) : signal, stale: false };
  // Left out when a context is copied or printed.
  return Object.defineProperty(kept, "delivery", {
    enumerable: false,
    get() {
      throw new TypeError("context.delivery is not there behind a sink, which keeps events, not deliveries.");
    },
  }) as ListenerContext;
}

/** For a log: on one line, and short. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
