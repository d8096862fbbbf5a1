import { kindOf } from "../errors.js";
import type { ReceivedEvent } from "../event.js";
import { isSuccess, type Outcome } from "../outcome.js";
import { andThen, isThenable, type MaybePromise } from "../values/maybe-promise.js";
import type { Claim, ClaimStore } from "./claims.js";
import { DoneKeys, hashOf } from "./done.js";

/** A process that dies holding a claim keeps it from others for this long; one that lives renews it. */
const LEASE_MS = 30_000;
/** An event that is under way for longer than this is busy to whoever waits for it. */
const PATIENCE_MS = 30_000;
/** A store that has not answered by then has failed. */
const STORE_TIMEOUT_MS = 3_000;

/** What an event is claimed by. */
export interface ClaimKeys {
  readonly event: string;
  /** Ties the event's id to the signature that it came with first. */
  readonly signature?: { readonly key: string; readonly lease: number } | undefined;
  /** Of two events of one subject, the one that occurred later makes the other one stale. */
  readonly subject?: { readonly key: string; readonly occurredAt: number } | undefined;
}

const NOT_GRANTED = Number.NEGATIVE_INFINITY;

/** Whether the store granted the claim, and has not said since that it is another's. */
function wasGranted(attempt: Attempt): boolean {
  return attempt.heldUntil !== NOT_GRANTED;
}

/** What the events of one delivery share. */
export interface Batch {
  /** Unlike any other batch's, so that a claim that was given up cannot be taken for a later one. */
  readonly owner: string;
  /** When it began, by this process's `performance.now()`; 0 where claims are not leased. */
  readonly begun: number;
  /** When it began, by `clock`. */
  readonly now: number;
  /** Until when its events count as done, by `clock`. */
  readonly doneUntil: number;
  /** Whether the store failed: it is not asked again and again, so that a delivery takes bounded time. */
  storeFailed: boolean;
}

/**
 * What asking for a claim gave; `undefined` if the store failed. A attempt in place of a claim: the same
 * event is under way, and this one shares its outcome.
 */
export type Claimed = Claim | Attempt | undefined;

/** One event on its way through the receiver. */
export class Attempt {
  claim: MaybePromise<Claimed> = "won";
  /** Until when the claim is known to be held, by this process's `performance.now()`. */
  heldUntil = NOT_GRANTED;
  /** Whether it is found under its key, by those that come after it. */
  isInFlight = false;
  /** Of its key, once it is under way. */
  hash = 0;
  /** The next one of the list that it is in while it is under way. */
  next: Attempt | undefined;
  /** Whether it wants the claim no more. If the store grants it all the same, it is given back. */
  givenUp = false;
  /** The outcome of the attempt that it follows; `undefined` if it follows none. */
  shared: MaybePromise<Outcome> | undefined;
  /** What became of it, once it has ended. */
  outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** Absent for an event that there is nothing to claim by. */
    readonly keys: ClaimKeys | undefined,
    readonly batch: Batch,
  ) {}

  /** What becomes of it; busy if that takes too long from now. */
  wait(): MaybePromise<Outcome> {
    if (this.outcome !== undefined) return this.outcome;
    this.#waiting ??= [];
    const waiting = this.#waiting;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve("busy"), PATIENCE_MS);
      waiting.push((outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      });
    });
  }

  end(outcome: Outcome): Outcome {
    this.givenUp = true;
    this.outcome = outcome;
    if (this.#waiting) for (const resolve of this.#waiting) resolve(outcome);
    return outcome;
  }
}

/**
 * The attempts that are under way, by key. Not a Map: that rebuilds itself after every few keys that come
 * and go, and what it was before keeps attempts that are over from being collected.
 */
class InFlight {
  /** Each the first of the attempts whose hashes end alike. */
  readonly #lists = new Array<Attempt | undefined>(4096).fill(undefined);

  #placeOf(hash: number): number {
    return hash & (this.#lists.length - 1);
  }

  find(key: string, hash: number): Attempt | undefined {
    let attempt = this.#lists[this.#placeOf(hash)];
    while (attempt !== undefined && attempt.keys?.event !== key) attempt = attempt.next;
    return attempt;
  }

  add(attempt: Attempt, hash: number): void {
    const place = this.#placeOf(hash);
    attempt.isInFlight = true;
    attempt.hash = hash;
    attempt.next = this.#lists[place];
    this.#lists[place] = attempt;
  }

  remove(attempt: Attempt): void {
    const place = this.#placeOf(attempt.hash);
    let before = this.#lists[place];
    if (before === attempt) this.#lists[place] = attempt.next;
    while (before !== undefined && before.next !== attempt) before = before.next;
    if (before !== undefined) before.next = attempt.next;
    attempt.next = undefined;
    attempt.isInFlight = false;
  }
}

/** Events that this process remembers as done, where nothing else does, at the least. */
const REMEMBERED = 50_000;

export interface ClaimerOptions {
  readonly store: ClaimStore;
  /**
   * Whether others share the store: claims are leases then, which have to be asked for and renewed.
   * Otherwise a attempt that is under way here has won already, and the store is left to keep the rest.
   */
  readonly isShared: boolean;
  /** For how long an event that is settled counts as done, in milliseconds. */
  readonly doneFor: number;
  /** Unix time in milliseconds. */
  readonly clock: () => number;
  /** Hears what the operator should know of the store. */
  readonly onStoreTrouble: (trouble: string) => void;
}

/**
 * Has each event handled by one attempt at a time: in this process by the keys of those that are under
 * way, across processes by the store's claims. What the store throws, or does not answer in
 * time, is `undefined` here: a failing store costs a redelivery, and is never taken for a failing listener.
 */
export function createClaimer({ store, isShared, doneFor, clock, onStoreTrouble }: ClaimerOptions) {
  const inFlight = new InFlight();
  /** Empty where the store is shared. */
  const done = new DoneKeys(REMEMBERED);
  // Made at the first delivery: some runtimes have no randomness before the first request.
  let ownerPrefix: string | undefined;
  let batchCount = 0;

  /** What the store answers; `undefined` if it throws, rejects or takes too long. */
  function ask<T>(call: () => MaybePromise<T>, onLate?: (answer: T) => void): MaybePromise<T | undefined> {
    const fail = (error: unknown) => {
      onStoreTrouble(`the claim store failed (${kindOf(error)})`);
      return undefined;
    };
    try {
      const answer = call();
      return isThenable(answer) ? inTime(answer, fail, onLate) : answer;
    } catch (error) {
      return fail(error);
    }
  }

  function batch(): Batch {
    const now = clock();
    const doneUntil = now + doneFor;
    if (!isShared) return { owner: "", begun: 0, now, doneUntil, storeFailed: false };
    ownerPrefix ??= crypto.randomUUID();
    return {
      owner: `${ownerPrefix}:${++batchCount}`,
      begun: performance.now(),
      now,
      doneUntil,
      storeFailed: false,
    };
  }

  /** Asks for the claim of a attempt. */
  function begin(attempt: Attempt): void {
    const { event, keys } = attempt;
    if (keys === undefined) return;
    const { signature } = keys;
    if (signature === undefined) {
      attempt.claim = enter(attempt, keys);
    } else {
      // The first id keeps the signature: the same one with another id is a request that was captured.
      // It is busy until the event is done, and followed by none, so that a redelivery can still run.
      const bound = ask(() => store.claim(signature.key, event.id, signature.lease));
      attempt.claim = andThen(bound, (state) => (state === "won" ? enter(attempt, keys) : state));
    }
  }

  /** A memory that fails costs no attempt its end: at worst an event is not known to be done. */
  function remember({ hash, batch }: Attempt, { event: key }: ClaimKeys): void {
    try {
      done.set(key, batch.doneUntil, hash);
    } catch (error) {
      onStoreTrouble(`remembering what is done failed (${kindOf(error)})`);
    }
  }

  function enter(attempt: Attempt, keys: ClaimKeys): MaybePromise<Claimed> {
    const key = keys.event;
    const hash = hashOf(key);
    const before = inFlight.find(key, hash);
    if (before !== undefined) {
      attempt.shared = before.wait();
      return before;
    }
    if (!isShared && attempt.batch.now < done.until(key, hash)) return "done";
    inFlight.add(attempt, hash);
    return isShared ? take(attempt, keys, attempt.batch.begun) : "won";
  }

  /**
   * Takes the claim, or renews it.
   *
   * @param asked A time that is not after this, by `performance.now()`: the lease counts from then.
   */
  function take(attempt: Attempt, { event: key }: ClaimKeys, asked: number): MaybePromise<Claim | undefined> {
    const granted = (claim: Claim) => {
      if (claim !== "won") attempt.heldUntil = NOT_GRANTED;
      else if (attempt.givenUp) void ask(() => store.release(key, attempt.batch.owner));
      else attempt.heldUntil = asked + LEASE_MS;
    };
    const taken = ask(() => store.claim(key, attempt.batch.owner, LEASE_MS), granted);
    return andThen(taken, (claim) => {
      if (claim !== undefined) granted(claim);
      else attempt.batch.storeFailed = true;
      return claim;
    });
  }

  /** Whether a claim that was won still is: asked of the store only if its lease may be over. */
  function confirm(attempt: Attempt): MaybePromise<Claim | undefined> {
    const { keys, heldUntil, batch } = attempt;
    if (keys === undefined || !isShared) return "won";
    const now = performance.now();
    if (now < heldUntil) return "won";
    return batch.storeFailed ? undefined : take(attempt, keys, now);
  }

  /** Renews the claims of these attempts for as long as they are held, until all is taken. */
  function renewed<T>(attempts: readonly Attempt[], taken: Promise<T>): Promise<T> {
    if (!isShared) return taken;
    const timer = setInterval(() => {
      const now = performance.now();
      for (const attempt of attempts) {
        if (attempt.keys && !attempt.givenUp && wasGranted(attempt)) void take(attempt, attempt.keys, now);
      }
    }, LEASE_MS / 3);
    return taken.finally(() => clearInterval(timer));
  }

  /** For `detectStale`: whether a later event of the same type and subject was handled before. */
  function isStale({ keys, batch }: Attempt): MaybePromise<boolean> {
    const subject = keys?.subject;
    if (subject === undefined || batch.storeFailed) return false;
    const asked = ask(() => andThen(store.latestOccurrence?.(subject.key), (time) => ({ time })));
    return andThen(asked, (latest) => {
      if (latest === undefined) batch.storeFailed = true;
      return typeof latest?.time === "number" && latest.time > subject.occurredAt;
    });
  }

  /** Ends a attempt that won its claim: settles it, or releases it for a redelivery to win. */
  function finish(attempt: Attempt, outcome: Outcome): MaybePromise<Outcome> {
    const { keys, batch } = attempt;
    if (keys === undefined || !isSuccess(outcome)) return end(attempt, outcome);
    attempt.givenUp = true;
    const { event: key, signature, subject } = keys;
    const settled = isShared ? ask(() => store.settle(key, batch.owner, doneFor)) : true;
    const bound = signature && settleSignature(attempt);
    const advanced = subject && ask(() => store.recordOccurrence?.(subject.key, subject.occurredAt, doneFor));
    if (isThenable(settled) || isThenable(bound) || isThenable(advanced)) {
      return Promise.all([settled, bound, advanced]).then(([done]) => finished(attempt, outcome, done));
    }
    return finished(attempt, outcome, settled);
  }

  /** @param done Whether the claim was still held when it was settled; `undefined` if the store failed. */
  function finished(attempt: Attempt, outcome: Outcome, done: boolean | undefined): Outcome {
    if (done === false) onStoreTrouble("a claim was lost while its event was handled; it may run again");
    return leave(attempt, done === undefined ? "settle_failed" : outcome);
  }

  /** Ends a attempt whose claim is not won. */
  function pass(attempt: Attempt, claim: Exclude<Claimed, "won">): MaybePromise<Outcome> {
    if (claim instanceof Attempt) return follow(attempt, claim);
    return end(attempt, claim === "done" ? "duplicate" : (claim ?? "claim_failed"));
  }

  /** Ends a attempt without success. A claim that it holds, or is still to be granted, is given back. */
  function end(attempt: Attempt, outcome: Outcome): MaybePromise<Outcome> {
    const { keys, batch } = attempt;
    attempt.givenUp = true;
    if (keys === undefined || !wasGranted(attempt)) return leave(attempt, outcome);
    return andThen(
      ask(() => store.release(keys.event, batch.owner)),
      () => leave(attempt, outcome),
    );
  }

  /** Ends a attempt with the outcome of the one that it follows. */
  function follow(attempt: Attempt, first: Attempt): MaybePromise<Outcome> {
    return andThen(first.outcome ?? attempt.shared ?? first.wait(), (shared) =>
      isSuccess(shared)
        ? andThen(settleSignature(attempt), () => attempt.end("duplicate"))
        : attempt.end(shared),
    );
  }

  function settleSignature({ event, keys }: Attempt): MaybePromise<unknown> {
    const signature = keys?.signature;
    return signature && ask(() => store.settle(signature.key, event.id, signature.lease));
  }

  function leave(attempt: Attempt, outcome: Outcome): Outcome {
    const { keys } = attempt;
    if (keys !== undefined && attempt.isInFlight) {
      inFlight.remove(attempt);
      if (!isShared && isSuccess(outcome)) remember(attempt, keys);
    }
    return attempt.end(outcome);
  }

  return { batch, begin, confirm, renewing: renewed, isStale, finish, skip: pass };
}

function inTime<T>(
  answer: PromiseLike<T>,
  fail: (error: unknown) => undefined,
  onLate?: (answer: T) => void,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let waiting = true;
    const give = (result: T | undefined) => {
      waiting = false;
      clearTimeout(timer);
      resolve(result);
    };
    const timer = setTimeout(() => give(fail(new StoreTimeout())), STORE_TIMEOUT_MS);
    Promise.resolve(answer).then(
      (result) => (waiting ? give(result) : onLate?.(result)),
      (error) => waiting && give(fail(error)),
    );
  });
}

class StoreTimeout extends Error {
  override name = "StoreTimeout";
}
