import { eventKeyOf } from "../claiming/claim-keys.js";
import type { ClaimStore } from "../claiming/claim-store.js";
import { RECOVERABLE_MS } from "../claiming/retention.js";
import type { DeliveryHeaders } from "../delivery.js";
import type { Dispatch } from "../dispatch.js";
import type { EventMap, ReceivedEvent } from "../event.js";
import { contextWithoutDelivery } from "../listeners/context.js";
import type { Observed } from "../observing/observe.js";
import type { EventRecord, Trace } from "../observing/trace.js";
import type { Outcome } from "../outcome.js";
import type { Provider } from "../provider.js";
import type { Admission } from "../values/admission.js";
import { createSavedTimes, type TimeStore } from "./saved-times.js";

/** For how long a process that recovers keeps others from doing the same, unless it renews. In milliseconds. */
const LEASE_MS = 30_000;
/** How long the claim holds that asks whether an event is done, unless it is released. */
const PROBE_MS = 1_000;

/** An envelope of events, as the platform would have sent it. */
export interface RecoveredEnvelope {
  /** The parsed JSON. */
  readonly body: unknown;
  /** The headers that carry an event's id and time, if the provider sends them there. */
  readonly headers?: DeliveryHeaders | undefined;
}

/** The part of a recoverable receiver that takes events which no webhook has brought. */
export interface Recovery {
  /** How far back recovery may go, in milliseconds. The receiver may have forgotten older events. */
  readonly reach: number;
  /** The receiver's clock: returns Unix time in milliseconds. */
  readonly clock: () => number;
  /**
   * Takes the events of all envelopes through the same claims, listeners or sink as those of one delivery.
   * The caller vouches for them: nothing is verified.
   *
   * @throws TypeError if a body is not an envelope. Then no event was handled.
   * @throws Error if the receiver is closed.
   */
  dispatch(envelopes: readonly RecoveredEnvelope[]): Promise<readonly EventRecord[]>;
  /** Returns whether the receiver knows that an event was handled. An occurrence counts before an id. */
  isHandled(event: Pick<ReceivedEvent, "id" | "occurrence">): Promise<boolean>;
  /**
   * Returns since when the receiver is recoverable, in Unix time in milliseconds: events that it handled
   * before are not known by their occurrence. `undefined` if it cannot tell.
   */
  recoverableSince(): Promise<number | undefined>;
  /** Returns the saved checkpoint: Unix time in milliseconds, or `undefined`. */
  checkpoint(): Promise<number | undefined>;
  /** Saves the time up to which all events are known. The later of two times stays. */
  saveCheckpoint(time: number): Promise<void>;
  /**
   * Runs `work` unless another process that shares the claims does so now. Then returns `undefined`.
   *
   * @param work Its signal aborts when another process may have taken over.
   */
  exclusively<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined>;
}

/** Sets the occurrence of each event whose provider can tell it. */
export function withOccurrences<Events extends EventMap>(
  { occurrenceOf }: Provider<Events>,
  events: readonly ReceivedEvent<Events>[],
): readonly ReceivedEvent<Events>[] {
  if (occurrenceOf === undefined) return events;
  return events.map((event) => ({ ...event, occurrence: occurrenceOf(event) }));
}

/** The stages of the receiver that recovered events go through, too. */
interface Stages<Events extends EventMap> {
  readonly admission: Admission;
  readonly dispatch: Dispatch<Events>;
  readonly observed: Observed;
  readonly clock: () => number;
}

/**
 * @param timeStore Keeps the checkpoint, and since when the receiver is recoverable.
 * @returns The recovery, and a function to call before events are claimed. It does not fail.
 */
export function createRecovery<Events extends EventMap>(
  provider: Provider<Events>,
  store: ClaimStore,
  timeStore: TimeStore,
  { admission, dispatch, observed, clock }: Stages<Events>,
): { recovery: Recovery; markRecoverable: () => void } {
  const { markRecoverable, ...times } = createSavedTimes(provider.name, timeStore, clock);
  const recoveryKey = `${provider.name}/recovery`;

  async function handle(events: readonly ReceivedEvent<Events>[], trace?: Trace) {
    const refused = admission.enter();
    try {
      if (refused) throw new Error("The receiver is closed or overloaded. Recover again later.");
      const { signal } = new AbortController();
      if (trace) trace.handling = performance.now();
      const attempts = await dispatch(events, undefined, (stale, limit) =>
        contextWithoutDelivery({ signal, stale }, limit),
      );
      if (trace) trace.result = attempts;
      return attempts;
    } finally {
      trace?.end();
      admission.leave();
    }
  }

  function recoveredEvents({ body, headers = new Map() }: RecoveredEnvelope): ReceivedEvent<Events>[] {
    const events = provider.parseEvents(body, headers, clock());
    if (events === undefined) throw new TypeError("The recovered body is not an envelope of events.");
    return events.map((event) => ({ ...event, recovered: true }) as ReceivedEvent<Events>);
  }

  const recovery: Recovery = {
    ...times,
    reach: RECOVERABLE_MS,
    clock,

    async dispatch(envelopes) {
      const events = withOccurrences(provider, envelopes.flatMap(recoveredEvents));
      const attempts = await observed("recovery", { headers: new Map() }, (trace) => handle(events, trace));
      return attempts.map(({ event: { id, type }, outcome }) => ({ id, type, outcome: outcome as Outcome }));
    },

    async isHandled(event) {
      const key = eventKeyOf(provider.name, event);
      // Only a claim tells on every store. Short, in case this process ends before it releases the claim.
      const claim = await store.claim(key, "probe", PROBE_MS);
      if (claim === "won") await store.release(key, "probe");
      return claim === "done";
    },

    async exclusively(work) {
      const owner = crypto.randomUUID();
      const isOurs = async () => (await store.claim(recoveryKey, owner, LEASE_MS)) === "won";
      if (!(await isOurs())) return undefined;
      const lost = new AbortController();
      const renewal = setInterval(() => {
        isOurs().then(
          (ours) => ours || lost.abort(new Error("Another process has taken over the recovery.")),
          (error) => lost.abort(error),
        );
      }, LEASE_MS / 3);
      try {
        return await work(lost.signal);
      } finally {
        clearInterval(renewal);
        await store.release(recoveryKey, owner);
      }
    },
  };
  // A store that fails also fails the claims, which the receiver logs.
  return { recovery, markRecoverable: () => void markRecoverable().catch(() => {}) };
}
