import type { ReceivedEvent } from "../event.js";
import type { Outcome } from "../outcome.js";
import type { MaybePromise } from "../values/maybe-promise.js";
import { stopwatch } from "../values/stopwatch.js";
import type { ClaimKeys } from "./claim-keys.js";
import type { Claim } from "./claim-store.js";
import { type CallStore, createStoreCalls } from "./store-calls.js";

/** How long an attempt waits for another attempt of the same event. After that its outcome is `busy`. */
const WAIT_MAX_MS = 30_000;

/** The state that the attempts of one delivery share. */
export interface Batch {
  /** The owner of the claims. Unique per delivery, so that a late command of one delivery cannot settle another's claims. */
  readonly owner: string;
  /** Returns how long ago the batch began, in milliseconds. */
  readonly age: () => number;
  /** When the batch began: Unix time in milliseconds, by the receiver's clock. */
  readonly now: number;
  /** Until when its events count as done: Unix time in milliseconds, by the receiver's clock. */
  readonly doneUntil: number;
  /** Calls the claim store for the events of this delivery. */
  readonly callStore: CallStore;
  /** Whether a lease or a look-up failed. Later events then ask for neither, so that a delivery takes bounded time. */
  storeFailed: boolean;
}

/**
 * The answer to a request for a claim; `undefined` if the store failed. An `Attempt` is already handling
 * the same event in this receiver, and this one waits for its outcome. `"failed"`: no claim was requested,
 * because the event cannot be handled.
 */
export type Claimed = Claim | Attempt | "failed" | undefined;

/** One event on its way through the receiver, with its claim and its outcome. */
export class Attempt {
  claim: MaybePromise<Claimed> = "won";
  /** Returns the age of the store's lease in milliseconds; `undefined` if the store granted none. */
  leaseAge: (() => number) | undefined;
  /** Whether the receiver's memory lists it, for later attempts of the same event to wait for. */
  isInFlight = false;
  /** Whether it has ended or is ending. A claim that the store grants after that is released. */
  isEnding = false;
  /** The outcome of the attempt that it waits for; `undefined` if it waits for none. */
  shared: MaybePromise<Outcome> | undefined;
  outcome: Outcome | undefined;
  #waiting: ((outcome: Outcome) => void)[] | undefined;

  constructor(
    readonly event: ReceivedEvent,
    /** `undefined` for an event that cannot be claimed: it has no id, and its signature does not stand for it. */
    readonly keys: ClaimKeys | undefined,
    readonly batch: Batch,
    readonly orderingKey?: string | undefined,
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
    this.isEnding = true;
    this.outcome = outcome;
    if (this.#waiting) for (const resolve of this.#waiting) resolve(outcome);
    return outcome;
  }
}

/** Without a shared store there are no leases. */
const noAge = () => 0;

/** Returns a function that makes the batch of one delivery. See `ClaimerOptions` for the parameters. */
export function createBatches(
  isShared: boolean,
  doneFor: number,
  clock: () => number,
  onStoreTrouble: (trouble: string, kind: string) => void,
): () => Batch {
  // Made at the first delivery: some runtimes have no randomness before the first request.
  let ownerPrefix: string | undefined;
  let count = 0;
  return () => {
    const now = clock();
    const doneUntil = now + doneFor;
    const callStore = createStoreCalls(onStoreTrouble);
    if (!isShared) return { owner: "", age: noAge, now, doneUntil, callStore, storeFailed: false };
    ownerPrefix ??= crypto.randomUUID();
    const owner = `${ownerPrefix}:${++count}`;
    return { owner, age: stopwatch(clock), now, doneUntil, callStore, storeFailed: false };
  };
}
