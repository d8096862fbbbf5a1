import type { ClaimStore } from "../claiming/claim-store.js";

/** Keeps times. A claim store does, and a sink can. */
export type TimeStore = Pick<ClaimStore, "latestOccurrence" | "recordOccurrence">;

/** The times that a recovery needs, for all processes that share a store. In Unix time in milliseconds. */
export interface SavedTimes {
  /** Saves that the receiver is recoverable. Does so once, and again after a failure. */
  markRecoverable(): Promise<void>;
  /** Returns since when the receiver is recoverable. */
  recoverableSince(): Promise<number>;
  checkpoint(): Promise<number | undefined>;
  saveCheckpoint(time: number): Promise<void>;
}

/** Ten years in milliseconds. A recovery must find its times, however long the app was down. */
const KEPT_MS = 10 * 365 * 24 * 60 * 60 * 1000;
/** A store keeps the later of two times. Of two mirrored times it so keeps the earlier one. */
const mirrored = (time: number) => Date.UTC(9999, 0) - time;

/** @param clock Returns Unix time in milliseconds. */
export function createSavedTimes(provider: string, store: TimeStore, clock: () => number): SavedTimes {
  const checkpointKey = `${provider}/checkpoint`;
  const markKey = `${provider}/recoverable-since`;
  // Cloudflare's clock shows 0 until the first request.
  const createdAt = clock() || undefined;
  let marked: Promise<void> | undefined;

  async function mark(time: number): Promise<void> {
    await store.recordOccurrence?.(markKey, mirrored(time), KEPT_MS);
  }

  function markRecoverable(): Promise<void> {
    marked ??= mark(createdAt ?? clock()).catch((error) => {
      marked = undefined;
      throw error;
    });
    return marked;
  }

  return {
    markRecoverable,
    async recoverableSince() {
      await markRecoverable();
      const saved = await store.latestOccurrence?.(markKey);
      if (saved !== undefined) return mirrored(saved);
      // The store has lost its content since, and with it the claims.
      const now = clock();
      await mark(now);
      return now;
    },
    checkpoint: async () => store.latestOccurrence?.(checkpointKey),
    saveCheckpoint: async (time) => store.recordOccurrence?.(checkpointKey, time, KEPT_MS),
  };
}
