import type { Claim, ClaimStore } from "./claims.js";
import { type Counts, isThenable, type MaybePromise } from "./delivery.js";
import type { ReceivedEvent } from "./event.js";

/**
 * What became of an event. Unclaimed: the store failed before. Unsettled: it was handled, but the
 * store failed after. Unsunk: the sink did not take it.
 */
export type Outcome = keyof Counts | "unclaimed" | "unsettled" | "unsunk";

const SUCCESSES: ReadonlySet<Outcome> = new Set(["handled", "unrecognized", "duplicate"]);

export function isSuccess(outcome: Outcome): boolean {
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

/** One event on its way through the receiver. */
export class Turn {
  /** A turn in place of a claim: the same event is under way, and this one shares its outcome. */
  claim: MaybePromise<Claim | undefined> | Turn = "won";
  /** Whether the claim is this turn's to keep. */
  held = false;
  /** Until when the claim is known to be held, by this process's `performance.now()`. */
  heldUntil = 0;
  #outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** Absent for an event without an id: there is nothing to claim it by. */
    readonly ticket: Ticket | undefined,
    readonly owner: string,
  ) {}

  get ended(): boolean {
    return this.#outcome !== undefined;
  }

  /** The outcome once the turn has ended; busy if that takes too long. */
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
      // Not the message: a client's may name its URL, password and all.
      onStoreTrouble(`the claim store failed (${error instanceof Error ? error.name : typeof error})`);
      return undefined;
    };
    try {
      const answer = call();
      return isThenable(answer) ? inTime(answer, fail, onLate) : answer;
    } catch (error) {
      return fail(error);
    }
  }

  function begin(event: ReceivedEvent, ticket: Ticket | undefined): Turn {
    // Unlike any other turn's, so that a claim that was given up cannot be taken for a later one.
    ownerPrefix ??= crypto.randomUUID();
    const turn = new Turn(event, ticket, `${ownerPrefix}:${++turnCount}`);
    if (ticket === undefined) return turn;
    const first = underWay.get(ticket.key);
    if (first !== undefined) {
      turn.claim = first;
      return turn;
    }
    underWay.set(ticket.key, turn);
    const { binding } = ticket;
    // The first id keeps the signature: the same one with another id is a request that was captured.
    // It is busy until the event is done, so that whichever came first, a redelivery can still run.
    const bound = binding && ask(() => store.claim(binding.key, event.id, binding.lease));
    turn.claim = binding
      ? chain(bound, (state) => (state === "won" ? take(turn, ticket) : state))
      : take(turn, ticket);
    return turn;
  }

  /** Takes the claim, or renews it. */
  function take(turn: Turn, { key }: Ticket): MaybePromise<Claim | undefined> {
    const asked = performance.now();
    const taken = ask(
      () => store.claim(key, turn.owner, LEASE_MS),
      // Nobody waits for it any more, so nobody may be kept from it either.
      (late) => late === "won" && !turn.held && ask(() => store.release(key, turn.owner)),
    );
    return chain(taken, (claim) => {
      if (claim === "won") turn.heldUntil = asked + LEASE_MS;
      // A store that does not answer says nothing about who holds it.
      if (claim !== undefined) turn.held = claim === "won" && !turn.ended;
      return claim;
    });
  }

  /** Whether a claim that was won still is: asked of the store only if it may have been lost meanwhile. */
  function confirm(turn: Turn): MaybePromise<Claim | undefined> {
    const { ticket, held, heldUntil } = turn;
    return ticket === undefined || (held && performance.now() < heldUntil) ? "won" : take(turn, ticket);
  }

  /** Renews the claims of these turns for as long as they are held, or until it is stopped. */
  function renew(turns: readonly Turn[]): () => void {
    const timer = setInterval(() => {
      for (const turn of turns) if (turn.held && turn.ticket) void take(turn, turn.ticket);
    }, LEASE_MS / 3);
    return () => clearInterval(timer);
  }

  /** Ends a turn that won its claim: settles it, or releases it for a redelivery to win. */
  function conclude(turn: Turn, outcome: Outcome): MaybePromise<Outcome> {
    const { ticket, owner } = turn;
    if (ticket === undefined) return turn.end(outcome);
    // Before the store hears of it: a renewal in between would claim what was just given up.
    turn.held = false;
    if (!isSuccess(outcome)) {
      return chain(
        ask(() => store.release(ticket.key, owner)),
        () => end(turn, outcome),
      );
    }
    const { binding, subject } = ticket;
    const settled = ask(() => store.settle(ticket.key, owner, doneFor));
    const bound = binding && ask(() => store.settle(binding.key, turn.event.id, binding.lease));
    const advanced = subject && ask(() => store.advance?.(subject.key, subject.occurredAt, doneFor));
    return chain(settled, (done) => {
      if (done === false) onStoreTrouble("a claim was lost while its event was handled; it may run again");
      return chain(bound, () => chain(advanced, () => end(turn, done === undefined ? "unsettled" : outcome)));
    });
  }

  /** For `detectStale`: whether a later event of the same type and subject was handled before. */
  function isStale({ ticket }: Turn): MaybePromise<boolean> {
    const subject = ticket?.subject;
    if (subject === undefined) return false;
    return chain(
      ask(() => store.latest?.(subject.key)),
      (latest) => latest !== undefined && latest > subject.occurredAt,
    );
  }

  function end(turn: Turn, outcome: Outcome): Outcome {
    if (turn.ticket) underWay.delete(turn.ticket.key);
    return turn.end(outcome);
  }

  return { begin, renew, confirm, isStale, conclude, end };
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

/** Goes on with a value at once, or with a promised one when it is there. */
export function chain<T, Result>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<Result>,
): MaybePromise<Result> {
  return isThenable(value) ? value.then(next) : next(value);
}
