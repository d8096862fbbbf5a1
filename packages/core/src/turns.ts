import type { Claim, ClaimStore } from "./claims.js";
import { type Counts, chain, isThenable, type MaybePromise } from "./delivery.js";
import { kindOf } from "./errors.js";
import type { ReceivedEvent } from "./event.js";

/**
 * What became of an event. Unclaimed: the store failed before. Unsettled: it was handled, but the
 * store failed after. Unsunk: the sink did not take it.
 */
export type Outcome = keyof Counts | "unclaimed" | "unsettled" | "unsunk";

const SUCCESSES: ReadonlySet<Outcome> = new Set(["handled", "unrecognized", "duplicate"]);

function isSuccess(outcome: Outcome): boolean {
  return SUCCESSES.has(outcome);
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
  readonly binding?: { readonly key: string; readonly lease: number };
  /** Of two events of one subject, the one that occurred later makes the other one stale. */
  readonly subject?: { readonly key: string; readonly occurredAt: number };
}

const NOT_GRANTED = Number.NEGATIVE_INFINITY;

/** Whether the store granted the claim, and has not said since that it is another's. */
function wasGranted(turn: Turn): boolean {
  return turn.heldUntil !== NOT_GRANTED;
}

/** What the events of one delivery share. */
export interface Batch {
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
  /** Whether it wants the claim no more. If the store grants it all the same, it is given back. */
  givenUp = false;
  /** The outcome of the turn that it follows. */
  shared: MaybePromise<Outcome> | undefined;
  #outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** Absent for an event that there is nothing to claim by. */
    readonly ticket: Ticket | undefined,
    readonly owner: string,
    readonly batch: Batch,
  ) {}

  get ended(): boolean {
    return this.#outcome !== undefined;
  }

  /** The outcome once the turn has ended; busy if that takes too long from now. */
  get outcome(): MaybePromise<Outcome> {
    if (this.#outcome !== undefined) return this.#outcome;
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
    this.#outcome = outcome;
    for (const resolve of this.#waiting ?? []) resolve(outcome);
    return outcome;
  }
}

/**
 * Has each event handled by one turn at a time: in this process by a map of the turns that are under
 * way, across processes by the store's claims. What the store throws, or does not answer in time,
 * is `undefined` here: a failing store costs a redelivery, and is never taken for a failing listener.
 *
 * @param doneFor For how long an event that is settled counts as done, in milliseconds.
 * @param onStoreTrouble Hears what the operator should know of the store.
 */
export function createTurns(store: ClaimStore, doneFor: number, onStoreTrouble: (trouble: string) => void) {
  /** By key. */
  const underWay = new Map<string, Turn>();
  // Made at the first event: some runtimes have no randomness before the first request.
  let ownerPrefix: string | undefined;
  let turnCount = 0;

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

  function begin(event: ReceivedEvent, ticket: Ticket | undefined, batch: Batch): Turn {
    // Unlike any other turn's, so that a claim that was given up cannot be taken for a later one.
    ownerPrefix ??= crypto.randomUUID();
    const turn = new Turn(event, ticket, `${ownerPrefix}:${++turnCount}`, batch);
    if (ticket === undefined) return turn;
    const { binding } = ticket;
    if (binding === undefined) {
      turn.claim = enter(turn, ticket);
    } else {
      // The first id keeps the signature: the same one with another id is a request that was captured.
      // It is busy until the event is done, and followed by none, so that a redelivery can still run.
      const bound = ask(() => store.claim(binding.key, event.id, binding.lease));
      turn.claim = chain(bound, (state) => (state === "won" ? enter(turn, ticket) : state));
    }
    return turn;
  }

  function enter(turn: Turn, ticket: Ticket): MaybePromise<Claimed> {
    const first = underWay.get(ticket.key);
    if (first !== undefined) {
      turn.shared = first.outcome;
      return first;
    }
    underWay.set(ticket.key, turn);
    return take(turn, ticket);
  }

  /** Takes the claim, or renews it. */
  function take(turn: Turn, { key }: Ticket): MaybePromise<Claim | undefined> {
    const asked = performance.now();
    const granted = (claim: Claim) => {
      if (claim !== "won") turn.heldUntil = NOT_GRANTED;
      else if (turn.givenUp) void ask(() => store.release(key, turn.owner));
      else turn.heldUntil = asked + LEASE_MS;
    };
    const taken = ask(() => store.claim(key, turn.owner, LEASE_MS), granted);
    return chain(taken, (claim) => {
      if (claim !== undefined) granted(claim);
      else turn.batch.storeFailed = true;
      return claim;
    });
  }

  /** Whether a claim that was won still is: asked of the store only if its lease may be over. */
  function confirm(turn: Turn): MaybePromise<Claim | undefined> {
    const { ticket, heldUntil, batch } = turn;
    if (ticket === undefined || performance.now() < heldUntil) return "won";
    return batch.storeFailed ? undefined : take(turn, ticket);
  }

  /** Renews the claims of these turns for as long as they are held, or until it is stopped. */
  function renew(turns: readonly Turn[]): () => void {
    const timer = setInterval(() => {
      for (const turn of turns) {
        if (turn.ticket && !turn.givenUp && wasGranted(turn)) void take(turn, turn.ticket);
      }
    }, LEASE_MS / 3);
    return () => clearInterval(timer);
  }

  /** For `detectStale`: whether a later event of the same type and subject was handled before. */
  function isStale({ ticket, batch }: Turn): MaybePromise<boolean> {
    const subject = ticket?.subject;
    if (subject === undefined || batch.storeFailed) return false;
    const asked = ask(() => chain(store.latest?.(subject.key), (time) => ({ time })));
    return chain(asked, (latest) => {
      if (latest === undefined) batch.storeFailed = true;
      return latest?.time !== undefined && latest.time > subject.occurredAt;
    });
  }

  /** Ends a turn that won its claim: settles it, or releases it for a redelivery to win. */
  function conclude(turn: Turn, outcome: Outcome): MaybePromise<Outcome> {
    const { ticket, owner } = turn;
    if (ticket === undefined || !isSuccess(outcome)) return end(turn, outcome);
    turn.givenUp = true;
    const { subject } = ticket;
    const settled = ask(() => store.settle(ticket.key, owner, doneFor));
    const bound = settleBinding(turn);
    const advanced = subject && ask(() => store.advance?.(subject.key, subject.occurredAt, doneFor));
    return chain(settled, (done) => {
      if (done === false) onStoreTrouble("a claim was lost while its event was handled; it may run again");
      return chain(bound, () =>
        chain(advanced, () => leave(turn, done === undefined ? "unsettled" : outcome)),
      );
    });
  }

  /** Ends a turn without success. A claim that it holds, or is still to be granted, is given back. */
  function end(turn: Turn, outcome: Outcome): MaybePromise<Outcome> {
    const { ticket, owner } = turn;
    turn.givenUp = true;
    if (ticket === undefined || !wasGranted(turn)) return leave(turn, outcome);
    return chain(
      ask(() => store.release(ticket.key, owner)),
      () => leave(turn, outcome),
    );
  }

  /** Ends a turn with the outcome of the one that it follows. */
  function follow(turn: Turn, first: Turn): MaybePromise<Outcome> {
    const outcome = first.ended ? first.outcome : (turn.shared ?? first.outcome);
    return chain(outcome, (shared) =>
      isSuccess(shared) ? chain(settleBinding(turn), () => turn.end("duplicate")) : turn.end(shared),
    );
  }

  function settleBinding({ event, ticket }: Turn): MaybePromise<unknown> {
    const binding = ticket?.binding;
    return binding && ask(() => store.settle(binding.key, event.id, binding.lease));
  }

  function leave(turn: Turn, outcome: Outcome): Outcome {
    const key = turn.ticket?.key;
    if (key !== undefined && underWay.get(key) === turn) underWay.delete(key);
    return turn.end(outcome);
  }

  return { begin, confirm, renew, isStale, conclude, end, follow };
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
