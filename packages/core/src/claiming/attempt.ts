import type { ReceivedEvent } from "../event.js";
import type { Outcome } from "../outcome.js";
import type { MaybePromise } from "../values/maybe-promise.js";
import type { ClaimKeys } from "./claim-keys.js";
import type { Claim } from "./claim-store.js";

/** An attempt that waits for another one of the same event gives up after this long, and is busy. */
const WAIT_MAX_MS = 30_000;

/** What the attempts of one delivery share. */
export interface Batch {
  /** Unique, so that a claim that was released cannot be taken for a later one. Empty for unshared claims. */
  readonly owner: string;
  /** When the batch began, by `performance.now()`; 0 for unshared claims, which have no lease. */
  readonly begun: number;
  /** When the batch began, by the receiver's clock. */
  readonly now: number;
  /** How long its events count as done, by the receiver's clock. */
  readonly doneUntil: number;
  /** Set when the store fails: it is not asked again, so that a delivery takes bounded time. */
  storeFailed: boolean;
}

/**
 * The answer to a request for a claim; `undefined` if the store failed. An attempt in place of a
 * claim handles the same event in this process, and this attempt follows it.
 */
export type Claimed = Claim | Attempt | undefined;

/** One event on its way through the receiver, with its claim and its outcome. */
export class Attempt {
  claim: MaybePromise<Claimed> = "won";
  /** Until when the store's lease holds, by `performance.now()`; `undefined` if the store granted none. */
  heldUntil: number | undefined;
  /** Whether the process memory lists it, for later attempts of the same event to follow. */
  isInFlight = false;
  /** Whether it no longer wants the claim. A claim that the store grants later is released. */
  givenUp = false;
  /** The outcome of the attempt that it follows; `undefined` if it follows none. */
  shared: MaybePromise<Outcome> | undefined;
  outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** Absent for an event that has nothing to be claimed by. */
    readonly keys: ClaimKeys | undefined,
    readonly batch: Batch,
  ) {}

  /** Returns its outcome once it has ended, or `busy` if that takes too long. */
  wait(): MaybePromise<Outcome> {
    if (this.outcome !== undefined) return this.outcome;
    this.#waiting ??= [];
    const waiting = this.#waiting;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve("busy"), WAIT_MAX_MS);
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
