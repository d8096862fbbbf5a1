import { verify } from "#hmac";
import { type ClaimStore, memoryClaims } from "./claims.js";
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
  type Reply,
  replyTo,
} from "./delivery.js";
import { type ErrorCode, kindOf } from "./errors.js";
import type { EventMap, ReceivedEvent } from "./event.js";
import { createListeners, type ListenerContext, type Listening } from "./listeners.js";
import type { Provider } from "./provider.js";
import { keysFrom, type SecretSource } from "./secrets.js";
import { type Batch, createTurns, type Outcome, type Ticket, Turn } from "./turns.js";

/** Takes the events of a delivery in place of the listeners, to have them handled later. */
export interface Sink {
  /** Keeps all the events or, by throwing or rejecting, none. None of them is done or held by another. */
  accept(events: readonly ReceivedEvent[], context: ListenerContext): MaybePromise<void>;
}

export interface ReceiverOptions {
  /** What deliveries are signed with. Required unless `unsigned` is true. */
  readonly secret?: SecretSource | undefined;
  /** Accepts deliveries that nobody signed: whoever knows the URL can send them. Excludes `secret`. */
  readonly unsigned?: boolean | undefined;
  /** How far a delivery's time may be from `clock`, either way, in seconds. Default 300. */
  readonly tolerance?: number | undefined;
  /** The largest body that is accepted, in bytes. Default 5 MiB. */
  readonly maxBodySize?: number | undefined;
  /** Default: this process's memory. */
  readonly claims?: ClaimStore | undefined;
  /** Default: the listeners. */
  readonly sink?: Sink | undefined;
  /**
   * Whether listeners are to be told, by `context.stale`, that a later event of the same type and
   * subject was handled before. Takes a store that has `latest` and `advance`. Default false.
   */
  readonly detectStale?: boolean | undefined;
  /** Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: (() => number) | undefined;
}

/** Verifies deliveries, reads their events and has each one handled once. */
export interface Receiver<Events extends EventMap = EventMap> extends Listening<Events> {
  readonly provider: Provider<Events>;
  /**
   * Processes one delivery; never rejects. When it resolves, every event was handled and settled,
   * or its claim was released, so that delivering it again is safe and repeats only what failed.
   */
  handle(delivery: IncomingDelivery): Promise<Reply>;
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
/** A mistake that every request repeats is logged this often. */
const LOG_EVERY_MS = 60_000;

/**
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createReceiver<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
): Receiver<Events> {
  const { tolerance = 300, maxBodySize = 5 * 1024 * 1024, clock = Date.now, sink, detectStale } = options;
  for (const option of ["unsigned", "detectStale"] as const) {
    const value = options[option];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`${option} must be true or false, not ${shown(value)}.`);
    }
  }
  if (options.unsigned && options.secret !== undefined) {
    throw new TypeError("With { unsigned: true } the secret proves nothing. Pass one of the two.");
  }
  if (typeof tolerance !== "number" || !(tolerance >= 0 && tolerance < Number.POSITIVE_INFINITY)) {
    throw new TypeError(
      `tolerance must be a number of seconds, 0 or more and finite, not ${shown(tolerance)}.`,
    );
  }
  if (!Number.isSafeInteger(maxBodySize) || maxBodySize < 1) {
    throw new TypeError(`maxBodySize must be a positive whole number of bytes, not ${shown(maxBodySize)}.`);
  }
  if (typeof clock !== "function") {
    throw new TypeError("clock must be a function that returns Unix time in milliseconds.");
  }
  requireMethods("claims", options.claims, ["claim", "settle", "release"]);
  requireMethods("sink", sink, ["accept"]);
  const keysOf = options.unsigned ? undefined : keysFrom(options.secret);
  const claims = options.claims ?? memoryClaims({ clock });
  if (detectStale && !(claims.latest && claims.advance)) {
    throw new TypeError("detectStale takes a claim store that has the methods latest and advance.");
  }
  const replayableFor = 2 * tolerance * 1000;
  const turns = createTurns(claims, Math.max(DONE_MS, replayableFor), (trouble) =>
    log("STORE_UNAVAILABLE", `${trouble}.`),
  );
  let closing = false;
  let inFlight = 0;
  let onIdle = () => {};
  let closed: Promise<void> | undefined;

  const loggedAt = new Map<ErrorCode, number>();
  /** Tells the operator what the sender must not know; each code once a minute. */
  const log = (code: ErrorCode, text: string) => {
    const now = Date.now();
    if (now - (loggedAt.get(code) ?? 0) < LOG_EVERY_MS) return;
    loggedAt.set(code, now);
    try {
      console.error(`crowdhook: ${provider.name}: ${code}: ${text}`);
    } catch {
      // Apps replace console, and a log that fails must not fail a delivery.
    }
  };

  const listeners = createListeners<Events>(provider, (event) =>
    // Without the error's message: that may hold anything. An onError listener gets it whole.
    log("EVENT_FAILED", `event ${quoted(event.id)} of type ${quoted(event.type)} failed. onError hears why.`),
  );

  async function receive(incoming: IncomingDelivery): Promise<Reply> {
    if (closing) return replyTo("SHUTTING_DOWN");
    const headers = headersOf(incoming.headers);
    if (incoming.method !== "POST") return replyTo("METHOD_NOT_ALLOWED");
    const encoding = headers.get("content-encoding");
    if (encoding && encoding.trim().toLowerCase() !== "identity") return replyTo("ENCODING_UNSUPPORTED");

    const body = await bodyOf(incoming, maxBodySize);
    if (!(body instanceof Uint8Array)) {
      if (body.code === "BODY_UNAVAILABLE") log(body.code, body.hint ?? NO_BYTES);
      return replyTo(body.code);
    }
    if (body.byteLength > maxBodySize) return replyTo("BODY_TOO_LARGE");

    const delivery: Delivery = { method: incoming.method, headers, body };
    const digest = keysOf && (await verifiedDigest(keysOf, delivery));
    if (typeof digest === "object") return replyTo(digest.code);

    const json = parse(body);
    const events = json && provider.readEvents(json.value, headers);
    if (events === undefined) {
      const code = json ? "ENVELOPE_INVALID" : "BODY_NOT_JSON";
      log(
        code,
        "a delivery that is accepted by its signature cannot be read. Its events are lost unless it is mended.",
      );
      return replyTo(code);
    }

    const outcomes = await handleEvents(events, digest, contextsOf(delivery, incoming));
    return replyTo(codeOf(outcomes), count(outcomes));
  }

  /** The signature's digest, once it is known to fit and to be in time. */
  async function verifiedDigest(
    keysOf: ReturnType<typeof keysFrom>,
    delivery: Delivery,
  ): Promise<string | { code: ErrorCode }> {
    const signature = provider.readSignature(delivery.headers);
    if (typeof signature === "string") return { code: signature };
    let keys: Awaited<ReturnType<typeof keysOf>>;
    try {
      const found = keysOf(delivery);
      keys = isThenable(found) ? await found : found;
    } catch (error) {
      log(
        "SECRET_UNAVAILABLE",
        `the secret function failed, or gave what cannot be a secret (${kindOf(error)}).`,
      );
      return { code: "SECRET_UNAVAILABLE" };
    }
    const verified = verify(keys, signature.prefix, delivery.body, signature.digest);
    if (!(isThenable(verified) ? await verified : verified)) {
      log(
        "SIGNATURE_MISMATCH",
        "a delivery fits no secret. If it was genuine, the subscription has another secret.",
      );
      return { code: "SIGNATURE_MISMATCH" };
    }
    const age = clock() - signature.timestamp;
    // Put so that a clock or a time that is not a number is out of tolerance, too.
    if (Math.abs(age) <= tolerance * 1000) return signature.digest;
    log(
      "TIMESTAMP_OUT_OF_TOLERANCE",
      `a genuine delivery was signed ${age / 1000} seconds ago by the clock. Is that right?`,
    );
    return { code: "TIMESTAMP_OUT_OF_TOLERANCE" };
  }

  /**
   * Claims all events at once, so that a store's commands travel together. Then handles those won
   * in order; each is settled as soon as it succeeded, while the next is being handled.
   */
  async function handleEvents(
    events: readonly ReceivedEvent<Events>[],
    digest: string | undefined,
    contextFor: ContextFor,
  ): Promise<readonly Outcome[]> {
    const batch: Batch = { storeFailed: false };
    // All tickets first: a provider that throws at one must not leave turns behind that nobody ends.
    const tickets = events.map((event) => ticketOf(event, digest));
    const begun = events.map((event, i) => turns.begin(event, tickets[i], batch));
    // Claims in this process's own memory cannot be lost while they are held.
    const stopRenewing = options.claims && turns.renew(begun);
    try {
      const sunk = sink && (await offer(sink, begun, contextFor(false)));
      const outcomes: MaybePromise<Outcome>[] = [];
      for (const turn of begun) {
        let claim = isThenable(turn.claim) ? await turn.claim : turn.claim;
        if (claim instanceof Turn) {
          const shared = turns.follow(turn, claim);
          outcomes.push(isThenable(shared) ? await shared : shared);
          continue;
        }
        if (claim === "won" && sunk === undefined) {
          // The events before it may have taken long.
          const confirmed = turns.confirm(turn);
          claim = isThenable(confirmed) ? await confirmed : confirmed;
        }
        if (claim === "won") {
          const outcome = sunk ?? listen(turn, contextFor);
          outcomes.push(turns.conclude(turn, isThenable(outcome) ? await outcome : outcome));
        } else {
          outcomes.push(turns.end(turn, claim === "done" ? "duplicate" : (claim ?? "unclaimed")));
        }
      }
      return await Promise.all(outcomes);
    } finally {
      stopRenewing?.();
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
    const { event } = turn;
    return chain(turns.isStale(turn), (stale) => {
      const emitted = listeners.emit(event as ReceivedEvent<Events>, contextFor(stale));
      return chain(emitted, (success) => (!success ? "failed" : event.problems ? "unrecognized" : "handled"));
    });
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

  const { on, onAny, onUnrecognized, onError } = listeners;
  return {
    provider,
    on,
    onAny,
    onUnrecognized,
    onError,
    async handle(incoming) {
      inFlight++;
      try {
        return await receive(incoming);
      } catch (error) {
        log("INTERNAL_ERROR", `${kindOf(error)} while processing a delivery.`);
        return replyTo("INTERNAL_ERROR");
      } finally {
        if (--inFlight === 0) onIdle();
      }
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

type ContextFor = (stale: boolean) => ListenerContext;

function contextsOf(delivery: Delivery, incoming: IncomingDelivery): ContextFor {
  let signal: AbortSignal | undefined;
  const contextFor = (stale: boolean): ListenerContext => ({
    delivery,
    get signal() {
      signal ??= incoming.signal ?? new AbortController().signal;
      return signal;
    },
    stale,
  });
  const usual = contextFor(false);
  return (stale) => (stale ? contextFor(true) : usual);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parse(body: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(decoder.decode(body)) };
  } catch {
    return undefined;
  }
}

function requireMethods(option: string, value: object | undefined, methods: readonly string[]): void {
  for (const method of value === undefined ? [] : methods) {
    if (typeof (value as Record<string, unknown> | null)?.[method] !== "function") {
      throw new TypeError(`${option} must have the method ${method}.`);
    }
  }
}

/** For a log: on one line, and short. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
