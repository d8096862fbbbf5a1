import { verify } from "#hmac";
import { type Claim, type ClaimStore, memoryClaims } from "./claims.js";
import {
  type BodyFailure,
  bytesOf,
  type Counts,
  type Delivery,
  headersOf,
  type IncomingDelivery,
  isThenable,
  type MaybePromise,
  type Reply,
  replyTo,
} from "./delivery.js";
import type { ErrorCode } from "./errors.js";
import type { EventMap, ReceivedEvent } from "./event.js";
import { createListeners, type ListenerContext, type Listening } from "./listeners.js";
import type { Provider } from "./provider.js";
import { keysFrom, type SecretSource } from "./secrets.js";

/** Takes the events of a delivery in place of the listeners, to have them handled later. */
export interface Sink {
  /** Keeps all the events or, by throwing or rejecting, none. None of them is done or held by another. */
  accept(events: readonly ReceivedEvent[], context: ListenerContext): MaybePromise<void>;
}

export interface ReceiverOptions {
  /** What deliveries are signed with. Required unless `unsigned` is true. */
  readonly secret?: SecretSource | undefined;
  /** Accepts deliveries that nobody signed: whoever knows the URL can send them. Excludes `secret`. */
  readonly unsigned?: boolean;
  /** How far a delivery's time may be from `clock`, either way, in seconds. Default 300. */
  readonly tolerance?: number;
  /** The largest body that is accepted, in bytes. Default 5 MiB. */
  readonly maxBodySize?: number;
  /** Default: this process's memory. */
  readonly claims?: ClaimStore;
  /** Default: the listeners. */
  readonly sink?: Sink;
  /** Unix time in milliseconds. Default `Date.now`. */
  readonly clock?: () => number;
}

/** Verifies deliveries, reads their events and has each one handled once. */
export interface Receiver<Events extends EventMap = EventMap> extends Listening<Events> {
  readonly provider: Provider<Events>;
  /**
   * Processes one delivery; never rejects. When it resolves, every event was handled and settled,
   * or its claim was released, so that delivering it again is safe and repeats only what failed.
   */
  handle(delivery: IncomingDelivery): Promise<Reply>;
}

/** A process that dies holding a claim keeps it from others for this long. */
const LEASE_MS = 60_000;
/** Claims outlast this and any replay within the tolerance. */
const DONE_MS = 24 * 60 * 60 * 1000;
/** A mistake that every request repeats is logged this often. */
const LOG_EVERY_MS = 60_000;

/**
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createReceiver<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
): Receiver<Events> {
  const { tolerance = 300, maxBodySize = 5 * 1024 * 1024, clock = Date.now, sink } = options;
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
  const keysOf = options.unsigned ? undefined : keysFrom(options.secret);
  const claims = options.claims ?? memoryClaims({ clock });
  const doneFor = Math.max(DONE_MS, 2 * tolerance * 1000);
  /** By key: the events that are on their way through this receiver. One turn for each at a time. */
  const running = new Map<string, Turn<Events>>();
  // One for all turns, as no two of them ever hold the same key.
  const owner = crypto.randomUUID();

  const loggedAt = new Map<ErrorCode, number>();
  /** Tells the operator what the sender must not know; each code once a minute. */
  const log = (code: ErrorCode, text: string) => {
    const now = Date.now();
    if (now - (loggedAt.get(code) ?? 0) < LOG_EVERY_MS) return;
    loggedAt.set(code, now);
    console.error(`crowdhook: ${provider.name}: ${code}: ${text}`);
  };

  const listeners = createListeners<Events>(provider, (event) =>
    // Without the error's message: that may hold anything. An onError listener gets it whole.
    log("EVENT_FAILED", `event ${event.id} of type ${event.type} failed. Register onError to see why.`),
  );

  async function receive(incoming: IncomingDelivery): Promise<Reply> {
    const headers = headersOf(incoming.headers);
    if (incoming.method !== "POST") return replyTo("METHOD_NOT_ALLOWED");
    const encoding = headers.get("content-encoding");
    if (encoding && encoding.trim().toLowerCase() !== "identity") return replyTo("ENCODING_UNSUPPORTED");

    const body = await bodyOf(incoming, maxBodySize);
    if (!(body instanceof Uint8Array)) {
      if (body.code === "BODY_UNAVAILABLE") log(body.code, body.hint ?? "something read the body before.");
      return replyTo(body.code);
    }
    if (body.byteLength > maxBodySize) return replyTo("BODY_TOO_LARGE");

    const delivery: Delivery = { method: incoming.method, headers, body };
    const problem = keysOf && (await checkSignature(keysOf, delivery));
    if (problem !== undefined) return replyTo(problem);

    const json = parse(body);
    if (json === undefined) return replyTo("BODY_NOT_JSON");
    const events = provider.readEvents(json.value, headers);
    if (events === undefined) return replyTo("ENVELOPE_INVALID");

    let signal: AbortSignal | undefined;
    const outcomes = await handleEvents(events, {
      delivery,
      get signal() {
        signal ??= incoming.signal ?? new AbortController().signal;
        return signal;
      },
    });
    return replyTo(codeOf(outcomes), count(outcomes));
  }

  async function checkSignature(
    keysOf: ReturnType<typeof keysFrom>,
    delivery: Delivery,
  ): Promise<ErrorCode | undefined> {
    const signature = provider.readSignature(delivery.headers);
    if (typeof signature === "string") return signature;
    const found = attempt(() => keysOf(delivery), undefined);
    const keys = isThenable(found) ? await found : found;
    if (keys === undefined) {
      log("SECRET_UNAVAILABLE", "the secret function failed, or gave something that cannot be a secret.");
      return "SECRET_UNAVAILABLE";
    }
    const verified = verify(keys, signature.prefix, delivery.body, signature.digest);
    if (!(isThenable(verified) ? await verified : verified)) return "SIGNATURE_MISMATCH";
    // Put so that a clock or a time that is not a number is out of tolerance, too.
    const inTime = Math.abs(clock() - signature.timestamp) <= tolerance * 1000;
    return inTime ? undefined : "TIMESTAMP_OUT_OF_TOLERANCE";
  }

  /**
   * Claims all events at once, so that a store's commands travel together. Then handles those won
   * in order; each is settled as soon as it succeeded, while the next is being handled.
   */
  async function handleEvents(
    events: readonly ReceivedEvent<Events>[],
    context: ListenerContext,
  ): Promise<readonly Outcome[]> {
    const turns = events.map(begin);
    const sunk = sink && (await offer(sink, turns, context));
    const outcomes: MaybePromise<Outcome>[] = [];
    for (const turn of turns) {
      const claim = isThenable(turn.claim) ? await turn.claim : turn.claim;
      if (claim instanceof Turn) {
        const first = await claim.ended();
        outcomes.push(SUCCESSES.has(first) ? "duplicate" : first);
      } else if (claim === "won") {
        let outcome: Outcome | undefined = sunk;
        if (outcome === undefined) {
          const emitted = listeners.emit(turn.event, context);
          const success = isThenable(emitted) ? await emitted : emitted;
          outcome = !success ? "failed" : turn.event.problems ? "unrecognized" : "handled";
        }
        outcomes.push(conclude(turn, outcome));
      } else {
        outcomes.push(end(turn, claim === "done" ? "duplicate" : claim === "busy" ? "busy" : "unclaimed"));
      }
    }
    return Promise.all(outcomes);
  }

  function begin(event: ReceivedEvent<Events>): Turn<Events> {
    const turn = new Turn(event);
    // Without an id there is nothing to claim it by.
    if (event.id === "") return turn;
    turn.key = `${provider.name}:${event.id}`;
    const first = running.get(turn.key);
    if (first !== undefined) {
      turn.claim = first;
    } else {
      running.set(turn.key, turn);
      turn.claim = attempt(() => claims.claim(turn.key, owner, LEASE_MS), undefined);
    }
    return turn;
  }

  async function offer(
    sink: Sink,
    turns: readonly Turn<Events>[],
    context: ListenerContext,
  ): Promise<"handled" | "unsunk"> {
    const won: ReceivedEvent[] = [];
    for (const turn of turns) if ((await turn.claim) === "won") won.push(turn.event);
    if (won.length === 0) return "handled";
    return attempt(async () => {
      await sink.accept(won, context);
      return "handled" as const;
    }, "unsunk");
  }

  /** Settles or releases a won claim. A store that fails here must not look like a listener that failed. */
  function conclude(turn: Turn<Events>, outcome: Outcome): MaybePromise<Outcome> {
    if (turn.key === "") return outcome;
    if (SUCCESSES.has(outcome)) {
      const settled = attempt(() => claims.settle(turn.key, owner, doneFor), "failed" as const);
      const ending = (result: boolean | "failed") => end(turn, result === "failed" ? "unsettled" : outcome);
      return isThenable(settled) ? settled.then(ending) : ending(settled);
    }
    const released = attempt(() => claims.release(turn.key, owner), undefined);
    return isThenable(released) ? released.then(() => end(turn, outcome)) : end(turn, outcome);
  }

  function end(turn: Turn<Events>, outcome: Outcome): Outcome {
    running.delete(turn.key);
    turn.end(outcome);
    if (outcome === "unclaimed" || outcome === "unsettled") {
      log("STORE_UNAVAILABLE", "the claim store failed; what it did not take will be delivered again.");
    } else if (outcome === "unsunk") {
      log("SINK_UNAVAILABLE", "the sink failed; its events will be delivered again.");
    }
    return outcome;
  }

  const { on, onAny, onUnrecognized, onError } = listeners;
  return {
    provider,
    on,
    onAny,
    onUnrecognized,
    onError,
    async handle(incoming) {
      try {
        return await receive(incoming);
      } catch (error) {
        log(
          "INTERNAL_ERROR",
          `${error instanceof Error ? error.name : typeof error} while processing a delivery.`,
        );
        return replyTo("INTERNAL_ERROR");
      }
    },
  };
}

/**
 * What became of an event. Unclaimed: the store failed before. Unsettled: it was handled, but the
 * store failed after. Unsunk: the sink did not take it.
 */
type Outcome = keyof Counts | "unclaimed" | "unsettled" | "unsunk";

const SUCCESSES: ReadonlySet<Outcome> = new Set(["handled", "unrecognized", "duplicate"]);

/** One event on its way through this process. */
class Turn<Events extends EventMap> {
  key = "";
  /** A turn in place of a claim: the same event is already on its way, and this one shares its outcome. */
  claim: MaybePromise<Claim | undefined> | Turn<Events> = "won";
  #outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(readonly event: ReceivedEvent<Events>) {}

  ended(): MaybePromise<Outcome> {
    if (this.#outcome !== undefined) return this.#outcome;
    this.#waiting ??= [];
    const waiting = this.#waiting;
    return new Promise((resolve) => waiting.push(resolve));
  }

  end(outcome: Outcome): void {
    this.#outcome = outcome;
    for (const resolve of this.#waiting ?? []) resolve(outcome);
  }
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

async function bodyOf(incoming: IncomingDelivery, limit: number): Promise<Uint8Array | BodyFailure> {
  const { body } = incoming;
  if (typeof body !== "function") return bytesOf(body);
  return attempt(() => body(limit), { code: "BODY_ABORTED" });
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parse(body: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(decoder.decode(body)) };
  } catch {
    return undefined;
  }
}

/** What `call` gives, now or later; `otherwise` where it throws or rejects. */
function attempt<T, Otherwise>(
  call: () => MaybePromise<T>,
  otherwise: Otherwise,
): MaybePromise<T | Otherwise> {
  try {
    const result = call();
    return isThenable(result) ? result.then(undefined, () => otherwise) : result;
  } catch {
    return otherwise;
  }
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
