import { isDone, type Outcome } from "../outcome.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import { stopwatch } from "../values/stopwatch.js";
import { Attempt, type Batch, type Claimed, createBatches } from "./attempt.js";
import type { ClaimKeys } from "./claim-keys.js";
import type { Claim, ClaimStore } from "./claim-store.js";
import { createReceiverMemory } from "./receiver-memory.js";

/** How long a claim holds without renewal. Other processes can win the claims of a dead process after that. */
const LEASE_MS = 30_000;

export interface ClaimerOptions {
  readonly store: ClaimStore;
  /**
   * Whether the store is the user's own, so that other processes may share it. If so, the claimer asks
   * it for a lease on each event, and renews the lease. If not, this receiver's memory decides, and the
   * store keeps only signatures and occurrences.
   */
  readonly isShared: boolean;
  /** How long a settled event counts as done, in milliseconds. */
  readonly doneFor: number;
  /** Returns Unix time in milliseconds. */
  readonly clock: () => number;
  /** Gets a sentence for the operator when the store fails, and the kind of its error. */
  readonly onStoreTrouble: (trouble: string, kind: string) => void;
  /** Gets a sentence for the operator when a claim was lost while its event was handled. */
  readonly onClaimLost: (trouble: string) => void;
}

/**
 * Takes an attempt through its claim: `begin`; if the claim is won, `confirm` before the listeners run;
 * if it still holds, `finish` after they ran; in all other cases `skip`.
 */
export interface Claimer {
  batch(): Batch;
  /** Asks for the attempt's claim, and leaves the answer in `attempt.claim`. */
  begin(attempt: Attempt): void;
  /** Ends an attempt whose claim is not won. */
  skip(attempt: Attempt, claim: Exclude<Claimed, "won">): MaybePromise<Outcome>;
  /** Returns the claim of an attempt that won it, which may be lost by now. Asks the store only if the lease may be over. */
  confirm(attempt: Attempt): MaybePromise<Claim | undefined>;
  /** For `detectStale`: returns whether an event of the same type and subject that occurred later was already handled. */
  isStale(attempt: Attempt): MaybePromise<boolean>;
  /** Ends an attempt that won its claim: settles the claim, or releases it for a redelivery to win. */
  finish(attempt: Attempt, outcome: Outcome): MaybePromise<Outcome>;
  /** Renews the claims of these attempts until `handled` resolves. */
  renewing<T>(attempts: readonly Attempt[], handled: Promise<T>): Promise<T>;
}

/**
 * Lets one attempt at a time handle an event: in this receiver by its memory, across receivers and
 * processes by the store's claims.
 */
export function createClaimer(options: ClaimerOptions): Claimer {
  const { store, isShared, doneFor, clock, onStoreTrouble, onClaimLost } = options;
  const memory = createReceiverMemory();
  const batch = createBatches(isShared, doneFor, clock, onStoreTrouble);

  function begin(attempt: Attempt): void {
    const { keys } = attempt;
    if (keys === undefined) return;
    const { guard } = keys;
    if (guard === undefined) {
      attempt.claim = claimEvent(attempt, keys);
      return;
    }
    // A redelivery of the event has the same owner, so it wins the replay guard again. A captured request
    // under another id or type is busy, and a duplicate once the event is settled.
    const guarded = attempt.batch.callStore(() => store.claim(guard.key, guard.owner, guard.lease));
    attempt.claim = andThen(guarded, (claim) => (claim === "won" ? claimEvent(attempt, keys) : claim));
  }

  function claimEvent(attempt: Attempt, keys: ClaimKeys): MaybePromise<Claimed> {
    const first = memory.inFlight(keys.event);
    if (first !== undefined) {
      attempt.shared = first.wait();
      return first;
    }
    if (!isShared && memory.isDone(keys.event, attempt.batch.now)) return "done";
    memory.add(keys.event, attempt);
    attempt.isInFlight = true;
    return isShared ? lease(attempt, keys, attempt.batch.age) : "won";
  }

  /**
   * Takes or renews the lease.
   *
   * @param age A stopwatch that started when this call began, or earlier: the lease must not outlast the
   *   store's.
   */
  function lease(
    attempt: Attempt,
    { event: key }: ClaimKeys,
    age: () => number,
  ): MaybePromise<Claim | undefined> {
    const receive = (claim: Claim) => {
      if (claim !== "won") attempt.leaseAge = undefined;
      else if (attempt.isEnding) void attempt.batch.callStore(() => store.release(key, attempt.batch.owner));
      else attempt.leaseAge = age;
    };
    const answer = attempt.batch.callStore(() => store.claim(key, attempt.batch.owner, LEASE_MS), receive);
    return andThen(answer, (claim) => {
      if (claim !== undefined) receive(claim);
      else attempt.batch.storeFailed = true;
      return claim;
    });
  }

  function confirm(attempt: Attempt): MaybePromise<Claim | undefined> {
    const { keys, leaseAge, batch } = attempt;
    if (keys === undefined || !isShared) return "won";
    if (leaseAge !== undefined && leaseAge() < LEASE_MS) return "won";
    return batch.storeFailed ? undefined : lease(attempt, keys, stopwatch(clock));
  }

  function renewing<T>(attempts: readonly Attempt[], handled: Promise<T>): Promise<T> {
    if (!isShared) return handled;
    const timer = setInterval(() => {
      const age = stopwatch(clock);
      for (const attempt of attempts) {
        const isHeld = !attempt.isEnding && attempt.leaseAge !== undefined;
        if (isHeld && attempt.keys) void lease(attempt, attempt.keys, age);
      }
    }, LEASE_MS / 3);
    return handled.finally(() => clearInterval(timer));
  }

  function isStale({ keys, batch }: Attempt): MaybePromise<boolean> {
    const subject = keys?.subject;
    if (subject === undefined || batch.storeFailed) return false;
    // Wrapped, because the store may answer `undefined`, which here means that it failed.
    const answer = batch.callStore(() =>
      andThen(store.latestOccurrence?.(subject.key), (time) => ({ time })),
    );
    return andThen(answer, (latest) => {
      if (latest === undefined) batch.storeFailed = true;
      return typeof latest?.time === "number" && latest.time > subject.occurredAt;
    });
  }

  function finish(attempt: Attempt, outcome: Outcome): MaybePromise<Outcome> {
    const { keys, batch } = attempt;
    if (keys === undefined || !isDone(outcome)) return endUnsettled(attempt, outcome);
    attempt.isEnding = true;
    const { event: key, subject } = keys;
    const settled = isShared ? batch.callStore(() => store.settle(key, batch.owner, doneFor)) : true;
    const guarded = settleGuard(attempt);
    const recorded =
      subject && batch.callStore(() => store.recordOccurrence?.(subject.key, subject.occurredAt, doneFor));
    if (isThenable(settled) || isThenable(guarded) || isThenable(recorded)) {
      return Promise.all([settled, guarded, recorded]).then(([held]) =>
        afterSettling(attempt, outcome, held),
      );
    }
    return afterSettling(attempt, outcome, settled);
  }

  /** @param held Whether the claim was still held when it was settled; `undefined` if the store failed. */
  function afterSettling(attempt: Attempt, outcome: Outcome, held: boolean | undefined): Outcome {
    if (held === false)
      onClaimLost(
        "a claim was lost while its event was handled, so the event may run again. Check for long pauses of this process",
      );
    return endAndForget(attempt, held === undefined ? "settle_failed" : outcome);
  }

  function skip(attempt: Attempt, claim: Exclude<Claimed, "won">): MaybePromise<Outcome> {
    if (claim instanceof Attempt) return endLikeFirst(attempt, claim);
    return endUnsettled(attempt, claim === "done" ? "duplicate" : (claim ?? "claim_failed"));
  }

  /** Ends an attempt like the first attempt of the same event: if that succeeded, this one is a duplicate. */
  function endLikeFirst(attempt: Attempt, first: Attempt): MaybePromise<Outcome> {
    return andThen(first.outcome ?? attempt.shared ?? first.wait(), (shared) =>
      isDone(shared) ? andThen(settleGuard(attempt), () => attempt.end("duplicate")) : attempt.end(shared),
    );
  }

  function settleGuard({ keys, batch }: Attempt): MaybePromise<unknown> {
    const guard = keys?.guard;
    return guard && batch.callStore(() => store.settle(guard.key, guard.owner, guard.lease));
  }

  /** Ends an attempt that settles nothing. Releases its claim; if the store has not answered yet, `lease` does. */
  function endUnsettled(attempt: Attempt, outcome: Outcome): MaybePromise<Outcome> {
    const { keys, batch, leaseAge } = attempt;
    attempt.isEnding = true;
    if (keys === undefined || leaseAge === undefined) return endAndForget(attempt, outcome);
    const released = batch.callStore(() => store.release(keys.event, batch.owner));
    return andThen(released, () => endAndForget(attempt, outcome));
  }

  function endAndForget(attempt: Attempt, outcome: Outcome): Outcome {
    const { keys, isInFlight, batch } = attempt;
    if (keys !== undefined && isInFlight) {
      attempt.isInFlight = false;
      const remembers = !isShared && isDone(outcome);
      memory.remove(keys.event, remembers ? batch.doneUntil : undefined);
    }
    return attempt.end(outcome);
  }

  return { batch, begin, skip, confirm, isStale, finish, renewing };
}
