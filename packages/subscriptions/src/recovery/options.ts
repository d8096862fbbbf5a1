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

/** Which events `recover` looks for, and how. */
export interface RecoveryOptions<Subscription> {
  /**
   * Recovers events from this time on. A number is Unix time in milliseconds, a text is ISO 8601 with an
   * offset. At most seven days back. Default: two minutes before the checkpoint, else since the receiver is
   * recoverable.
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
  const horizon = now - recovery.reach;
  const recoverableSince = await recovery.recoverableSince();
  const checkpoint = await recovery.checkpoint();
  // A receiver that has lost its first mark has a mark after the checkpoint.
  const earliest = Math.min(recoverableSince ?? now - DAY_MS, checkpoint ?? now);
  const window = (since: number, note: string | undefined) => ({
    since,
    until: Math.max(since, now - LAG_MS),
    horizon,
    continues: since <= (checkpoint ?? Math.max(earliest, horizon)),
    ...(note !== undefined && { note }),
  });
  if (wanted !== undefined) {
    const since = timeOf(wanted);
    checkReach(since, recovery.reach, now);
    return window(since, since < (recoverableSince ?? now) ? againNote(recoverableSince) : undefined);
  }
  const natural = Math.max(earliest, (checkpoint ?? earliest) - OVERLAP_MS);
  if (natural < horizon) {
    const note = `Recovery goes back ${days(recovery.reach)} days. Events before ${iso(horizon)} were not looked for.`;
    return window(horizon, note);
  }
  if (recoverableSince === undefined) return window(natural, againNote(undefined));
  const first = `The receiver has been recoverable since ${iso(earliest)}. Earlier events were not looked for. To recover them, too, pass since.`;
  return window(natural, checkpoint === undefined ? first : undefined);
}

function againNote(recoverableSince: number | undefined): string {
  return recoverableSince === undefined
    ? "Events that the receiver handled before it was recoverable run again."
    : `The receiver has been recoverable since ${iso(recoverableSince)}. Events that it handled before that run again.`;
}

/** @throws TypeError for a time that a recovery cannot begin at. */
function checkReach(since: number, reach: number, now: number): void {
  if (since > now) {
    throw new TypeError(`since is ${iso(since)}, which is in the future. Pass an earlier time.`);
  }
  if (since < now - reach) {
    throw new TypeError(
      `since is more than ${days(reach)} days ago. The receiver has forgotten which older events it handled, so they could run again. Pass a later time.`,
    );
  }
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
