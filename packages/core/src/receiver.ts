import { hasSubscribers } from "#diagnostics";
import { type HmacKey, verify } from "#hmac";
import { memoryClaims } from "./claims.js";
import {
  type BodyFailure,
  type Bytes,
  bytesOf,
  type Counts,
  chain,
  type Delivery,
  type DeliveryHeaders,
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
import { type DeliveryRecord, runInside, tell } from "./observe.js";
import { checkOptions, type ReceiverOptions, type Sink } from "./options.js";
import type { Provider, SignatureParts } from "./provider.js";
import { keysFrom, secretsFrom } from "./secrets.js";
import { createTurns, type Outcome, type Ticket, Turn } from "./turns.js";

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
  const replayableFor = 2 * tolerance * 1000;
  const turns = createTurns({
    store: options.claims ?? memoryClaims({ clock }),
    isShared: options.claims !== undefined,
    doneFor: Math.max(DONE_MS, replayableFor + CLOCK_SKEW_MS),
    clock,
    onStoreTrouble: (trouble) => log("STORE_UNAVAILABLE", `${trouble}.`),
  });
  // Nobody else's keys are beside these in a memory of its own, and signed ids are told apart by themselves.
  const keyPrefix = options.claims || !provider.idsAreSigned ? `${provider.name}:` : "";
  let closing = false;
  let inFlight = 0;
  let onIdle = () => {};
  let closed: Promise<void> | undefined;

  const log = createLog(provider.name);
  const refuse = (code: ErrorCode, reason: string): Refusal => {
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

  /**
   * What a delivery was refused for, or the turns of its events once all have ended. In three steps,
   * as each can be over at once or has to be waited for: the body, the signature, the events.
   */
  function receive(incoming: IncomingDelivery, notes?: Notes): MaybePromise<Received> {
    const { method, body } = incoming;
    const headers = headersOf(incoming.headers);
    if (method !== "POST") return { code: "METHOD_NOT_ALLOWED" };
    const encoding = headers.get("content-encoding");
    if (encoding && encoding.trim().toLowerCase() !== "identity") return { code: "ENCODING_UNSUPPORTED" };
    if (typeof body !== "function") return receiveBody(bytesOf(body) ?? NO_BODY, headers, incoming, notes);
    return reading(body, maxBodySize).then(
      (read) => receiveBody(bodyOf(read), headers, incoming, notes),
      () => receiveBody(ABORTED, headers, incoming, notes),
    );
  }

  function receiveBody(
    body: Uint8Array | BodyFailure,
    headers: DeliveryHeaders,
    incoming: IncomingDelivery,
    notes: Notes | undefined,
  ): MaybePromise<Received> {
    if ("code" in body) {
      return body.code === "BODY_UNAVAILABLE"
        ? refuse(body.code, body.hint ?? NO_BYTES)
        : { code: body.code };
    }
    if (notes) notes.bytes = body.byteLength;
    if (body.byteLength > maxBodySize) return { code: "BODY_TOO_LARGE" };
    const delivery: Delivery = { method: incoming.method, headers, body };
    if (notes) notes.verifying = performance.now();
    return chain(keysOf && verifiedDigest(keysOf, delivery), (digest) =>
      receiveEvents(digest, delivery, incoming, notes),
    );
  }

  /** @param digest The signature's, if it fits. */
  function receiveEvents(
    digest: string | Refusal | undefined,
    delivery: Delivery,
    incoming: IncomingDelivery,
    notes: Notes | undefined,
  ): MaybePromise<Received> {
    if (notes) notes.verified = performance.now();
    if (typeof digest === "object") return digest;
    const events = readEvents(delivery);
    if ("code" in events) return events;
    if (notes) notes.handling = performance.now();
    return handleEvents(events, digest, contextsOf(delivery, incoming));
  }

  /** The events of a delivery that may be believed. */
  function readEvents({ headers, body }: Delivery): readonly ReceivedEvent<Events>[] | Refusal {
    const json = parseJson(body);
    const events = json && provider.readEvents(json.value, headers);
    if (events !== undefined) return events;
    return refuse(
      json ? "ENVELOPE_INVALID" : "BODY_NOT_JSON",
      "a delivery that is accepted by its signature cannot be read. Its events are lost unless it is mended.",
    );
  }

  /** The signature's digest, once it is known to fit and to be in time. */
  function verifiedDigest(
    keysOf: ReturnType<typeof keysFrom>,
    delivery: Delivery,
  ): MaybePromise<string | Refusal> {
    const signature = provider.readSignature(delivery.headers);
    if (typeof signature === "string") return { code: signature };
    let keys: ReturnType<typeof keysOf>;
    try {
      keys = keysOf(delivery);
    } catch (error) {
      return secretUnavailable(error);
    }
    if (!isThenable(keys)) return verifiedWith(keys, signature, delivery);
    return Promise.resolve(keys).then((keys) => verifiedWith(keys, signature, delivery), secretUnavailable);
  }

  function secretUnavailable(error: unknown): Refusal {
    return refuse(
      "SECRET_UNAVAILABLE",
      `the secret function failed, or gave what cannot be a secret (${kindOf(error)}).`,
    );
  }

  function verifiedWith(
    keys: readonly HmacKey[],
    signature: SignatureParts,
    delivery: Delivery,
  ): MaybePromise<string | Refusal> {
    const judge = (fits: boolean) => (fits ? timelyDigest(signature) : mismatch(signature, delivery));
    return chain(verify(keys, signature.prefix, delivery.body, signature.digest), judge);
  }

  function timelyDigest({ digest, timestamp }: SignatureParts): string | Refusal {
    const now = clock();
    const age = now - timestamp;
    // Put so that a clock or a time that is not a number is out of tolerance, too.
    if (Math.abs(age) <= tolerance * 1000) return digest;
    return refuse("TIMESTAMP_OUT_OF_TOLERANCE", untimely(age / 1000, tolerance, now));
  }

  async function mismatch(signature: SignatureParts, delivery: Delivery): Promise<Refusal> {
    // Looked into as seldom as it is logged: forgeries must not be made expensive to refuse.
    if (!log.isDue("SIGNATURE_MISMATCH")) return { code: "SIGNATURE_MISMATCH", reason: MISMATCH };
    const reason = (await causeOfMismatch(signature, delivery)) ?? MISMATCH;
    log.print("SIGNATURE_MISMATCH", reason);
    return { code: "SIGNATURE_MISMATCH", reason };
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
   * All turns have ended when it resolves.
   */
  function handleEvents(
    events: readonly ReceivedEvent<Events>[],
    digest: string | undefined,
    contextFor: ContextFor,
  ): Promise<readonly Turn[]> {
    const batch = turns.batch();
    // All tickets and keys first: what throws at one must not leave turns behind that nobody ends.
    const begun = events.map((event) => new Turn(event, ticketOf(event, digest), batch));
    const keys = lanes && events.map(keyOf);
    for (const turn of begun) turns.begin(turn);
    const taken =
      lanes && keys
        ? inLanes(lanes, keys, begun, contextFor)
        : sink
          ? offer(sink, begun, contextFor(false)).then((sunk) => takeInOrder(begun, contextFor, sunk))
          : takeInOrder(begun, contextFor);
    return turns.renewed(begun, taken);
  }

  /**
   * Has turns taken one after another: the listeners run for those that are won. All have ended when
   * it resolves, and those that are being settled or released are in `settling` if that is given.
   *
   * @param sunk What became of those that are won, where a sink was given them in place of listeners.
   */
  async function takeInOrder(
    begun: readonly Turn[],
    contextFor: ContextFor,
    sunk?: Outcome,
    settling?: PromiseLike<unknown>[],
  ): Promise<readonly Turn[]> {
    const own: PromiseLike<unknown>[] = [];
    let stale = false;
    const contextOfEvent = (limit?: Limit) => contextFor(stale, limit);
    // A loop that awaits only what is not there yet: what each event costs beyond its own is in here.
    for (const turn of begun) {
      let claim = isThenable(turn.claim) ? await turn.claim : turn.claim;
      if (claim === "won" && !sunk) {
        // The events before it may have taken long.
        const confirmed = turns.confirm(turn);
        claim = isThenable(confirmed) ? await confirmed : confirmed;
      }
      if (claim !== "won") {
        const ended = turns.pass(turn, claim);
        if (isThenable(ended)) await ended;
        continue;
      }
      let outcome = sunk;
      if (outcome === undefined) {
        const event = turn.event as ReceivedEvent<Events>;
        if (detectStale) stale = await turns.isStale(turn);
        const failures = emit(event, contextOfEvent);
        const { length } = isThenable(failures) ? await failures : failures;
        outcome = length > 0 ? "failed" : event.problems ? "unrecognized" : "handled";
      }
      const concluded = turns.conclude(turn, outcome);
      if (isThenable(concluded)) (settling ?? own).push(concluded);
    }
    if (own.length > 0) await Promise.all(own);
    return begun;
  }

  /**
   * Has each event's turn taken when those of its key before it are over, at most `concurrency` at
   * once. What is not won here waits for nobody: it may follow a turn that waits for it.
   */
  async function inLanes(
    { enter }: ReturnType<typeof createLanes>,
    keys: readonly (string | undefined)[],
    begun: readonly Turn[],
    contextFor: ContextFor,
  ): Promise<readonly Turn[]> {
    const gate = createGate(concurrency);
    const places = keys.map(enter);
    const settling: PromiseLike<unknown>[] = [];
    const take = (turn: Turn) => takeInOrder([turn], contextFor, undefined, settling);
    const walk = async (turn: Turn, { ahead, leave }: Place) => {
      const claim = await turn.claim;
      if (claim !== "won") return take(turn);
      await ahead;
      await gate.enter();
      try {
        await take(turn);
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
    await Promise.all(settling);
    return begun;
  }

  function ticketOf(event: ReceivedEvent<Events>, digest: string | undefined): Ticket | undefined {
    const signature = provider.idsAreSigned ? undefined : digest;
    // Without an id, what is left to claim it by is the signature, if that stands for one event.
    if (event.id === "" && signature === undefined) return undefined;
    const about = detectStale && event.occurredAt ? provider.readSubject(event) : undefined;
    return {
      key: event.id === "" ? `${provider.name}/without-id:${signature}` : keyPrefix + event.id,
      binding:
        signature === undefined
          ? undefined
          : { key: `${provider.name}/signature:${signature}`, lease: replayableFor + CLOCK_SKEW_MS },
      subject:
        about === undefined
          ? undefined
          : {
              key: `${provider.name}/latest:${event.type}:${about}`,
              occurredAt: Number(event.occurredAt),
            },
    };
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
    process: (notes: Notes) => MaybePromise<Received>,
  ): Promise<Reply> {
    const notes: Notes = { started: performance.now() };
    let received: Received = { code: "INTERNAL_ERROR" };
    const run = async () => {
      try {
        received = await process(notes);
      } catch (error) {
        received = failure(error);
      }
      const record = recordOf(provider.name, received, notes);
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
    return replyOn(received);
  }

  function failure(error: unknown): Refusal {
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
      if (code) return isWatched ? watched(incoming, () => ({ code })) : replyTo(code);
      inFlight++;
      try {
        // Listeners never run in the caller's stack, so that one may hand over the next delivery itself.
        await undefined;
        if (isWatched) return await watched(incoming, (notes) => receive(incoming, notes));
        const received = receive(incoming);
        return replyOn(isThenable(received) ? await received : received);
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

/** Why a delivery's events are not handled. */
interface Refusal {
  readonly code: ErrorCode;
  /** For the operator. */
  readonly reason?: string;
}

/** What a delivery was refused for, or the turns of its events, all ended. */
type Received = Refusal | readonly Turn[];

function isRefusal(received: Received): received is Refusal {
  return "code" in received;
}

/** What is written down of a delivery that is watched: by `performance.now()`, in milliseconds. */
interface Notes {
  readonly started: number;
  /** When that of the signature began, and when it ended. */
  verifying?: number;
  verified?: number;
  /** When that of the events began. */
  handling?: number;
  /** The size of the body. */
  bytes?: number;
}

function recordOf(provider: string, received: Received, notes: Notes): DeliveryRecord {
  const { started, verifying = 0, verified = verifying, handling, bytes } = notes;
  const ended = performance.now();
  const { code, counts } = verdictOn(received);
  const events = isRefusal(received)
    ? []
    : received.map(({ event: { id, type }, outcome }) => ({ id, type, outcome: outcome as Outcome }));
  return {
    provider,
    status: code === undefined ? 200 : ERRORS[code].status,
    code,
    reason: (isRefusal(received) ? received.reason : undefined) ?? (code && ERRORS[code].message),
    counts: counts ?? { handled: 0, duplicate: 0, failed: 0, busy: 0, unrecognized: 0 },
    events,
    bytes,
    durations: {
      verify: verified - verifying,
      handle: handling === undefined ? 0 : ended - handling,
      total: ended - started,
    },
  };
}

function replyOn(received: Received): Reply {
  const { code, counts } = verdictOn(received);
  return replyTo(code, counts);
}

/** One code for all events: what the operator has to mend comes before what mends itself. */
function verdictOn(received: Received): { code: ErrorCode | undefined; counts?: Counts } {
  if (isRefusal(received)) return { code: received.code };
  const of: Record<Outcome, number> = {
    handled: 0,
    duplicate: 0,
    failed: 0,
    busy: 0,
    unrecognized: 0,
    unclaimed: 0,
    unsettled: 0,
    unsunk: 0,
  };
  for (const { outcome, shared, event } of received) {
    if (outcome === undefined) continue;
    of[outcome]++;
    // What could not be settled was handled all the same, once.
    if (outcome === "unsettled") of[shared ? "duplicate" : event.problems ? "unrecognized" : "handled"]++;
  }
  const { duplicate, failed, busy, unrecognized } = of;
  const code =
    failed > 0
      ? "EVENT_FAILED"
      : of.unsunk > 0
        ? "SINK_UNAVAILABLE"
        : of.unclaimed + of.unsettled > 0
          ? "STORE_UNAVAILABLE"
          : busy > 0
            ? "EVENT_BUSY"
            : undefined;
  return { code, counts: { handled: of.handled, duplicate, failed, busy, unrecognized } };
}

const MISMATCH = "a delivery fits no secret: it is forged, or its subscription has another secret.";

const NO_BYTES = "handle was given neither bytes nor text, perhaps a parsed body. Pass the raw bytes.";

const BODY_CODES: ReadonlySet<unknown> = new Set(["BODY_TOO_LARGE", "BODY_ABORTED", "BODY_UNAVAILABLE"]);

const NO_BODY: BodyFailure = { code: "BODY_UNAVAILABLE" };

const ABORTED: BodyFailure = { code: "BODY_ABORTED" };

/** What a function that reads a body gives, or throws. */
function reading(
  read: Extract<IncomingDelivery["body"], (...args: never) => unknown>,
  limit: number,
): Promise<Bytes | string | BodyFailure> {
  try {
    return Promise.resolve(read(limit));
  } catch (error) {
    return Promise.reject(error);
  }
}

function bodyOf(read: Bytes | string | BodyFailure): Uint8Array | BodyFailure {
  return bytesOf(read) ?? (isFailure(read) ? read : NO_BODY);
}

/** What comes over the wire must not pass for one: only what a function says is one. */
function isFailure(read: unknown): read is BodyFailure {
  return typeof read === "object" && read !== null && "code" in read && BODY_CODES.has(read.code);
}

const SIGNAL_OF = Symbol("signal");

/**
 * The context's own, because apps copy contexts to add to them. One function for all of them: a getter
 * of each would take more time than the rest of its delivery's glue.
 */
const SIGNAL = {
  enumerable: true,
  configurable: true,
  get(this: { [SIGNAL_OF](): AbortSignal }) {
    return this[SIGNAL_OF]();
  },
};

/** Makes a listener's context. With a limit, its signal is the limit's, and aborts with the other, too. */
type ContextFor = (stale: boolean, limit?: Limit) => ListenerContext;

function contextsOf(delivery: Delivery, incoming: IncomingDelivery): ContextFor {
  let hangUp: AbortSignal | undefined;
  const contextFor = (stale: boolean, limit?: Limit): ListenerContext => {
    const signal = () => {
      hangUp ??= incoming.signal ?? new AbortController().signal;
      return limit ? limit.join(hangUp) : hangUp;
    };
    return Object.defineProperty({ delivery, stale, [SIGNAL_OF]: signal }, "signal", SIGNAL) as never;
  };
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
