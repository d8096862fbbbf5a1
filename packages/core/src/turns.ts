import type { Claim, ClaimStore } from "./claims.js";
import { type Counts, chain, isThenable, type MaybePromise } from "./delivery.js";
import { DoneKeys, hashOf } from "./done.js";
import { kindOf } from "./errors.js";
import type { ReceivedEvent } from "./event.js";

/**
 * What became of an event. Unclaimed: the store failed before. Unsettled: it was handled, but the
 * store failed after. Unsunk: the sink did not take it.
 */
export type Outcome = keyof Counts | "unclaimed" | "unsettled" | "unsunk";

function isSuccess(outcome: Outcome): boolean {
  return outcome === "handled" || outcome === "unrecognized" || outcome === "duplicate";
}

/** A process that dies holding a claim keeps it from others for this long; one that lives renews it. */
const LEASE_MS = 30_000;
/** An event that is under way for longer than this is busy to whoever waits for it. */
const PATIENCE_MS = 30_000;
/** A store that has not answered by then has failed. */
const STORE_TIMEOUT_MS = 3_000;

/** What an event is claimed by. */
export interface Ticket {
  readonly key: string;
  /** Ties the event's id to the signature that it came with first. */
  readonly binding?: { readonly key: string; readonly lease: number } | undefined;
  /** Of two events of one subject, the one that occurred later makes the other one stale. */
  readonly subject?: { readonly key: string; readonly occurredAt: number } | undefined;
}

const NOT_GRANTED = Number.NEGATIVE_INFINITY;

/** Whether the store granted the claim, and has not said since that it is another's. */
function wasGranted(turn: Turn): boolean {
  return turn.heldUntil !== NOT_GRANTED;
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
 * What asking for a claim gave; `undefined` if the store failed. A turn in place of a claim: the same
 * event is under way, and this one shares its outcome.
 */
export type Claimed = Claim | Turn | undefined;

/** One event on its way through the receiver. */
export class Turn {
  claim: MaybePromise<Claimed> = "won";
  /** Until when the claim is known to be held, by this process's `performance.now()`. */
  heldUntil = NOT_GRANTED;
  /** Whether it is found under its key, by those that come after it. */
  isUnderWay = false;
  /** Of its key, once it is under way. */
  hash = 0;
  /** The next one of the list that it is in while it is under way. */
  next: Turn | undefined;
  /** Whether it wants the claim no more. If the store grants it all the same, it is given back. */
  givenUp = false;
  /** The outcome of the turn that it follows; `undefined` if it follows none. */
  shared: MaybePromise<Outcome> | undefined;
  /** What became of it, once it has ended. */
  outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** Absent for an event that there is nothing to claim by. */
    readonly ticket: Ticket | undefined,
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
 * The turns that are under way, by key. Not a Map: that rebuilds itself after every few keys that come
 * and go, and what it was before keeps turns that are over from being collected.
 */
class UnderWay {
  /** Each the first of the turns whose hashes end alike. */
  readonly #lists = new Array<Turn | undefined>(4096).fill(undefined);

  #placeOf(hash: number): number {
    return hash & (this.#lists.length - 1);
  }

  find(key: string, hash: number): Turn | undefined {
    let turn = this.#lists[this.#placeOf(hash)];
    while (turn !== undefined && turn.ticket?.key !== key) turn = turn.next;
    return turn;
  }

  add(turn: Turn, hash: number): void {
    const place = this.#placeOf(hash);
    turn.isUnderWay = true;
    turn.hash = hash;
    turn.next = this.#lists[place];
    this.#lists[place] = turn;
  }

  remove(turn: Turn): void {
    const place = this.#placeOf(turn.hash);
    let before = this.#lists[place];
    if (before === turn) this.#lists[place] = turn.next;
    while (before !== undefined && before.next !== turn) before = before.next;
    if (before !== undefined) before.next = turn.next;
    turn.next = undefined;
    turn.isUnderWay = false;
  }
}

/** Events that this process remembers as done, where nothing else does, at the least. */
const REMEMBERED = 50_000;

export interface TurnsOptions {
  readonly store: ClaimStore;
  /**
   * Whether others share the store: claims are leases then, which have to be asked for and renewed.
   * Otherwise a turn that is under way here has won already, and the store is left to keep the rest.
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
 * Has each event handled by one turn at a time: in this process by the keys of those that are under
 * way, across processes by the store's claims. What the store throws, or does not answer in
 * time, is `undefined` here: a failing store costs a redelivery, and is never taken for a failing listener.
 */
export function createTurns({ store, isShared, doneFor, clock, onStoreTrouble }: TurnsOptions) {
  const underWay = new UnderWay();
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

  /** Asks for the claim of a turn. */
  function begin(turn: Turn): void {
    const { event, ticket } = turn;
    if (ticket === undefined) return;
    const { binding } = ticket;
    if (binding === undefined) {
      turn.claim = enter(turn, ticket);
    } else {
      // The first id keeps the signature: the same one with another id is a request that was captured.
      // It is busy until the event is done, and followed by none, so that a redelivery can still run.
      const bound = ask(() => store.claim(binding.key, event.id, binding.lease));
      turn.claim = chain(bound, (state) => (state === "won" ? enter(turn, ticket) : state));
    }
  }

  /** A memory that fails costs no turn its end: at worst an event is not known to be done. */
  function remember({ hash, batch }: Turn, { key }: Ticket): void {
    try {
      done.set(key, batch.doneUntil, hash);
    } catch (error) {
      onStoreTrouble(`remembering what is done failed (${kindOf(error)})`);
    }
  }

  function enter(turn: Turn, ticket: Ticket): MaybePromise<Claimed> {
    const { key } = ticket;
    const hash = hashOf(key);
    const before = underWay.find(key, hash);
    if (before !== undefined) {
      turn.shared = before.wait();
      return before;
    }
    if (!isShared && turn.batch.now < done.until(key, hash)) return "done";
    underWay.add(turn, hash);
    return isShared ? take(turn, ticket, turn.batch.begun) : "won";
  }

  /**
   * Takes the claim, or renews it.
   *
   * @param asked A time that is not after this, by `performance.now()`: the lease counts from then.
   */
  function take(turn: Turn, { key }: Ticket, asked: number): MaybePromise<Claim | undefined> {
    const granted = (claim: Claim) => {
      if (claim !== "won") turn.heldUntil = NOT_GRANTED;
      else if (turn.givenUp) void ask(() => store.release(key, turn.batch.owner));
      else turn.heldUntil = asked + LEASE_MS;
    };
    const taken = ask(() => store.claim(key, turn.batch.owner, LEASE_MS), granted);
    return chain(taken, (claim) => {
      if (claim !== undefined) granted(claim);
      else turn.batch.storeFailed = true;
      return claim;
    });
  }

  /** Whether a claim that was won still is: asked of the store only if its lease may be over. */
  function confirm(turn: Turn): MaybePromise<Claim | undefined> {
    const { ticket, heldUntil, batch } = turn;
    if (ticket === undefined || !isShared) return "won";
    const now = performance.now();
    if (now < heldUntil) return "won";
    return batch.storeFailed ? undefined : take(turn, ticket, now);
  }

  /** Renews the claims of these turns for as long as they are held, until all is taken. */
  function renewed<T>(turns: readonly Turn[], taken: Promise<T>): Promise<T> {
    if (!isShared) return taken;
    const timer = setInterval(() => {
      const now = performance.now();
      for (const turn of turns) {
        if (turn.ticket && !turn.givenUp && wasGranted(turn)) void take(turn, turn.ticket, now);
      }
    }, LEASE_MS / 3);
    return taken.finally(() => clearInterval(timer));
  }

  /** For `detectStale`: whether a later event of the same type and subject was handled before. */
  function isStale({ ticket, batch }: Turn): MaybePromise<boolean> {
    const subject = ticket?.subject;
    if (subject === undefined || batch.storeFailed) return false;
    const asked = ask(() => chain(store.latest?.(subject.key), (time) => ({ time })));
    return chain(asked, (latest) => {
      if (latest === undefined) batch.storeFailed = true;
      return typeof latest?.time === "number" && latest.time > subject.occurredAt;
    });
  }

  /** Ends a turn that won its claim: settles it, or releases it for a redelivery to win. */
  function conclude(turn: Turn, outcome: Outcome): MaybePromise<Outcome> {
    const { ticket, batch } = turn;
    if (ticket === undefined || !isSuccess(outcome)) return end(turn, outcome);
    turn.givenUp = true;
    const { key, binding, subject } = ticket;
    const settled = isShared ? ask(() => store.settle(key, batch.owner, doneFor)) : true;
    const bound = binding && settleBinding(turn);
    const advanced = subject && ask(() => store.advance?.(subject.key, subject.occurredAt, doneFor));
    if (isThenable(settled) || isThenable(bound) || isThenable(advanced)) {
      return Promise.all([settled, bound, advanced]).then(([done]) => concluded(turn, outcome, done));
    }
    return concluded(turn, outcome, settled);
  }

  /** @param done Whether the claim was still held when it was settled; `undefined` if the store failed. */
  function concluded(turn: Turn, outcome: Outcome, done: boolean | undefined): Outcome {
    if (done === false) onStoreTrouble("a claim was lost while its event was handled; it may run again");
    return leave(turn, done === undefined ? "unsettled" : outcome);
  }

  /** Ends a turn whose claim is not won. */
  function pass(turn: Turn, claim: Exclude<Claimed, "won">): MaybePromise<Outcome> {
    if (claim instanceof Turn) return follow(turn, claim);
    return end(turn, claim === "done" ? "duplicate" : (claim ?? "unclaimed"));
  }

  /** Ends a turn without success. A claim that it holds, or is still to be granted, is given back. */
  function end(turn: Turn, outcome: Outcome): MaybePromise<Outcome> {
    const { ticket, batch } = turn;
    turn.givenUp = true;
    if (ticket === undefined || !wasGranted(turn)) return leave(turn, outcome);
    return chain(
      ask(() => store.release(ticket.key, batch.owner)),
      () => leave(turn, outcome),
    );
  }

  /** Ends a turn with the outcome of the one that it follows. */
  function follow(turn: Turn, first: Turn): MaybePromise<Outcome> {
    return chain(first.outcome ?? turn.shared ?? first.wait(), (shared) =>
      isSuccess(shared) ? chain(settleBinding(turn), () => turn.end("duplicate")) : turn.end(shared),
    );
  }

  function settleBinding({ event, ticket }: Turn): MaybePromise<unknown> {
    const binding = ticket?.binding;
    return binding && ask(() => store.settle(binding.key, event.id, binding.lease));
  }

  function leave(turn: Turn, outcome: Outcome): Outcome {
    const { ticket } = turn;
    if (ticket !== undefined && turn.isUnderWay) {
      underWay.remove(turn);
      if (!isShared && isSuccess(outcome)) remember(turn, ticket);
    }
    return turn.end(outcome);
  }

  return { batch, begin, confirm, renewed, isStale, conclude, pass };
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
