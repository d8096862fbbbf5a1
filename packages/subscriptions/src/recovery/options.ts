import type { Provider, Recovery } from "@crowdhook/core";
import { describeValue } from "@crowdhook/core/internal";
import { parseTolokaTime } from "@crowdhook/core/toloka";

/** A receiver, as far as recovery uses it. */
export interface RecoverableReceiver {
  readonly provider: Pick<Provider, "name">;
  readonly recovery?: Recovery | undefined;
}

/** How far a recovery has come. */
export interface RecoveryProgress {
  /** The number of events found. */
  readonly found: number;
  /** The number of events that the receiver has taken, whatever their outcome. */
  readonly dispatched: number;
}

export interface RecoveryOptions<Subscription> {
  /**
   * Recovers events from this time on. A number is Unix time in milliseconds, a text is ISO 8601 with an
   * offset. At most seven days back. Default: two minutes before the checkpoint, else 24 hours back.
   */
  readonly since?: Date | number | string | undefined;
  /** Lists the events that would be recovered, and hands none to the receiver. Default false. */
  readonly dryRun?: boolean | undefined;
  /**
   * Returns whether a subscription delivers to this app. Required if the subscriptions deliver to several
   * URLs. Default: all of them do.
   */
  readonly scope?: ((subscription: Subscription) => boolean) | undefined;
  /** Called after each batch. */
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
  /** Stops the recovery after the running batch. The promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The times that a recovery covers, as Unix time in milliseconds. */
export interface Window {
  readonly since: number;
  readonly until: number;
  /** The receiver remembers handled events from here on. */
  readonly horizon: number;
  /** Whether nothing between the checkpoint and `since` is left out. */
  readonly continues: boolean;
  readonly note?: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** A search at Toloka shows new assignments up to a minute late. Toloka's SDK stays as far behind the clock. */
const LAG_MS = MINUTE_MS;
/** For clocks that differ, and for events that a search showed late. */
const OVERLAP_MS = 2 * MINUTE_MS;

/** @throws TypeError for a receiver that cannot recover events of this provider. The message has the fix. */
export function recoveryOf(receiver: RecoverableReceiver, provider: string): Recovery {
  if (typeof receiver?.provider?.name !== "string") {
    throw new TypeError("recover takes a receiver. For a mounted webhook, pass webhook.receiver.");
  }
  const { name } = receiver.provider;
  if (name !== provider) {
    throw new TypeError(
      `The receiver is for ${name}, and these subscriptions are of ${provider}. Pass the receiver for ${provider}.`,
    );
  }
  if (receiver.recovery === undefined) {
    throw new TypeError("The receiver is not recoverable. Create it with { recoverable: true }.");
  }
  return receiver.recovery;
}

/** @throws TypeError for a `since` that is no time, in the future or beyond the recovery's reach. */
export async function windowOf(
  recovery: Recovery,
  wanted: Date | number | string | undefined,
): Promise<Window> {
  const now = recovery.clock();
  const until = now - LAG_MS;
  const horizon = now - recovery.reach;
  const checkpoint = await recovery.checkpoint();
  const natural = checkpoint === undefined ? now - DAY_MS : checkpoint - OVERLAP_MS;
  if (wanted !== undefined) {
    const since = timeOf(wanted);
    if (since < horizon) {
      throw new TypeError(
        `since is more than ${days(recovery.reach)} days ago. The receiver has forgotten which older events it handled, so they could run again. Pass a later time.`,
      );
    }
    return { since, until, horizon, continues: since <= (checkpoint ?? natural) };
  }
  if (natural >= horizon) return { since: natural, until, horizon, continues: true };
  const note = `The checkpoint is more than ${days(recovery.reach)} days old. Events before ${iso(horizon)} were not looked for.`;
  return { since: horizon, until, horizon, continues: true, note };
}

function timeOf(wanted: unknown): number {
  const time =
    wanted instanceof Date
      ? Number(wanted)
      : typeof wanted === "string"
        ? Number(/(?:Z|[+-]\d\d:?\d\d)$/.test(wanted) ? parseTolokaTime(wanted) : Number.NaN)
        : wanted;
  if (typeof time === "number" && Number.isFinite(time)) return time;
  throw new TypeError(
    `since must be a Date, Unix time in milliseconds, or ISO 8601 with an offset, not ${describeValue(wanted)}.`,
  );
}

const days = (milliseconds: number) => milliseconds / DAY_MS;

export function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
