import { Attempt, type Batch } from "./claiming/attempt.js";
import { createClaimKeys } from "./claiming/claim-keys.js";
import type { ClaimStore } from "./claiming/claim-store.js";
import { createClaimer } from "./claiming/claimer.js";
import { DONE_MS, RECOVERABLE_MS, UNTIMED_MS } from "./claiming/retention.js";
import { kindOf, UnfitEventError } from "./errors.js";
import type { EventMap, ReceivedEvent } from "./event.js";
import type { ContextFor } from "./listeners/context.js";
import { checkedKey, createOrderingQueues, type Place } from "./listeners/ordering.js";
import { IGNORED, type RunListeners } from "./listeners/run.js";
import { subjectsOf } from "./listeners/subjects.js";
import { type LineName, type Log, quote } from "./observing/log.js";
import type { ReceiverOptions, Sink } from "./options.js";
import type { Outcome } from "./outcome.js";
import type { Provider } from "./provider.js";
import { andThen, isThenable, type MaybePromise } from "./values/maybe-promise.js";
import { createSemaphore } from "./values/semaphore.js";

/** Added to the time for which a signature can be replayed, because clocks differ. */
const CLOCK_SKEW_MS = 60_000;

/**
 * Claims the events of a delivery and has each one handled once, by the listeners or by the sink. Every
 * attempt has its outcome when the promise resolves.
 */
export type Dispatch<Events extends EventMap> = (
  events: readonly ReceivedEvent<Events>[],
  digest: string | undefined,
  contextFor: ContextFor,
) => Promise<readonly Attempt[]>;

export function createDispatcher<Events extends EventMap>(
  provider: Provider<Events>,
  options: ReceiverOptions,
  store: ClaimStore,
  runListeners: RunListeners<Events>,
  log: Log,
): Dispatch<Events> {
  const { claims, sink, orderingKey, concurrency = 1, detectStale = false, tolerance = 300 } = options;
  const { recoverable = false, clock = Date.now } = options;
  const isTimed = provider.signatureFormat.timestamp !== undefined;
  const replayable = isTimed ? 2 * tolerance * 1000 + CLOCK_SKEW_MS : UNTIMED_MS;
  // Recovery asks the store which events are done, so the store knows them all.
  const isShared = claims !== undefined || recoverable;
  const claimer = createClaimer({
    store,
    isShared,
    doneFor: Math.max(recoverable ? RECOVERABLE_MS : DONE_MS, replayable),
    clock,
    onStoreTrouble: (trouble, kind) => log("STORE_UNAVAILABLE", `${trouble}.`, kind),
    onClaimLost: (trouble) => log("CLAIM_LOST", `${trouble}.`),
  });
  const subjectOf = subjectsOf(provider, log);
  const claimKeysOf = createClaimKeys(provider as Provider, { detectStale, replayable, subjectOf });
  const queues = concurrency > 1 || orderingKey ? createOrderingQueues() : undefined;
  const orderingKeyOf = orderingKey ? checkedKey(orderingKey) : subjectOf;

  return function dispatch(events, digest, contextFor) {
    const batch = claimer.batch();
    const attempts = events.map((event) => attemptOf(event, digest, batch));
    // The claims are requested before the first one is awaited, so that the store's client can send many together.
    for (const attempt of attempts) claimer.begin(attempt);
    return claimer.renewing(
      attempts,
      queues
        ? handleByKey(attempts, contextFor)
        : sink
          ? handOver(sink, attempts, contextFor)
          : handleInOrder(attempts, contextFor),
    );
  };

  /**
   * Runs the listeners of the attempts that won their claim, one after another, and ends every attempt.
   * Each `await` costs microtasks and nearly all of an event's cost is here, so plain values are not awaited.
   *
   * @param settling Collects the promises of claims that are still being settled or released, for the
   *   caller to await. Default: this function awaits them.
   */
  async function handleInOrder(
    attempts: readonly Attempt[],
    contextFor: ContextFor,
    settling?: PromiseLike<unknown>[],
  ): Promise<readonly Attempt[]> {
    const own: PromiseLike<unknown>[] = [];
    let stale = false;
    const contextOfEvent: Parameters<RunListeners<Events>>[1] = (limit) => contextFor(stale, limit);
    for (const attempt of attempts) {
      let claim = isThenable(attempt.claim) ? await attempt.claim : attempt.claim;
      if (claim === "won") {
        // The events before this one may have taken longer than the lease.
        const confirmed = claimer.confirm(attempt);
        claim = isThenable(confirmed) ? await confirmed : confirmed;
      }
      if (claim !== "won") {
        const skipped = claimer.skip(attempt, claim);
        if (isThenable(skipped)) await skipped;
        continue;
      }
      const event = attempt.event as ReceivedEvent<Events>;
      if (detectStale) stale = await claimer.isStale(attempt);
      const failures = runListeners(event, contextOfEvent);
      const errors = isThenable(failures) ? await failures : failures;
      const finished = claimer.finish(attempt, outcomeOf(event, errors));
      if (isThenable(finished)) (settling ?? own).push(finished);
    }
    if (own.length > 0) await Promise.all(own);
    return attempts;
  }

  /** Gives the sink all events that won their claim, and ends every attempt. */
  async function handOver(sink: Sink, attempts: readonly Attempt[], contextFor: ContextFor) {
    const won: ReceivedEvent[] = [];
    for (const attempt of attempts) if ((await attempt.claim) === "won") won.push(attempt.event);
    let outcome: Outcome = "handled";
    try {
      if (won.length > 0) await sink.accept(won, contextFor(false));
    } catch (error) {
      const kind = kindOf(error);
      log("SINK_UNAVAILABLE", `the sink failed (${kind}). The reply is 503, and the provider retries.`, kind);
      outcome = "sink_failed";
    }
    const ended: MaybePromise<Outcome>[] = [];
    for (const attempt of attempts) {
      const claim = await attempt.claim;
      ended.push(claim === "won" ? claimer.finish(attempt, outcome) : claimer.skip(attempt, claim));
    }
    await Promise.all(ended);
    return attempts;
  }

  /**
   * Handles at most `concurrency` attempts of this delivery at once. Attempts of one key run one after
   * another, across all deliveries of this receiver. An attempt without the claim does not queue: it may
   * itself be waiting for an attempt that queues.
   */
  async function handleByKey(
    attempts: readonly Attempt[],
    contextFor: ContextFor,
  ): Promise<readonly Attempt[]> {
    const semaphore = createSemaphore(concurrency);
    const places = attempts.map((attempt) => queues?.enter(attempt.orderingKey) as Place);
    const settling: PromiseLike<unknown>[] = [];
    const handle = async (attempt: Attempt, { ahead, leave }: Place) => {
      const claim = await attempt.claim;
      if (claim !== "won") return handleInOrder([attempt], contextFor, settling);
      await ahead;
      await semaphore.acquire();
      try {
        return await handleInOrder([attempt], contextFor, settling);
      } finally {
        semaphore.release();
        leave();
      }
    };
    const starts = attempts.map((attempt, i) => {
      const place = places[i] as Place;
      andThen(attempt.claim, (claim) => claim === "won" || place.leave());
      return () => handle(attempt, place);
    });
    if (concurrency > 1) await Promise.all(starts.map((start) => start()));
    else for (const start of starts) await start();
    await Promise.all(settling);
    return attempts;
  }

  /**
   * Returns an attempt with all of its keys, before the first claim of the delivery is requested. If code of
   * the app or the provider throws for an event, that event fails, and the others are handled.
   */
  function attemptOf(event: ReceivedEvent<Events>, digest: string | undefined, batch: Batch): Attempt {
    let step: LineName = "subjectOf";
    try {
      const keys = claimKeysOf(event, digest);
      if (orderingKey) step = "orderingKey";
      return new Attempt(event, keys, batch, queues && orderingKeyOf(event));
    } catch (error) {
      const reason = error instanceof UnfitEventError ? error.message : `failed (${kindOf(error)})`;
      log(
        step,
        `${reason} for event ${quote(event.id)} of type ${quote(event.type)}. Only this event fails.`,
      );
      const attempt = new Attempt(event, undefined, batch);
      attempt.claim = "failed";
      return attempt;
    }
  }
}

function outcomeOf(event: ReceivedEvent, errors: readonly unknown[]): Outcome {
  if (errors.length > 0) return "failed";
  if (errors === IGNORED) return "ignored";
  return event.problems ? "unrecognized" : "handled";
}
