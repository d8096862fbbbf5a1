import type { RecoveredEnvelope, Recovery } from "@crowdhook/core";
import type { ProviderName } from "../provider.js";
import { normalizeUrl } from "../sync.js";
import { type RecoverableReceiver, type RecoveryOptions, recoveryOf, windowOf } from "./options.js";
import { type ListedEvent, type RecoveryResult, Report } from "./result.js";

/** How many events are handed to the receiver at once. */
export const BATCH_MAX = 100;

/** Envelopes for the receiver, and their events in the same order. */
export interface Batch {
  readonly events: readonly ListedEvent[];
  readonly envelopes: readonly RecoveredEnvelope[];
}

/** Finds a provider's events in the report's window. Notes in the report what it does not yield. */
export type Source = (report: Report, recovery: Pick<Recovery, "isHandled">) => AsyncIterable<Batch>;

/** Hands the events of a source to the receiver, unless another process does so now. */
export async function recover(
  provider: ProviderName,
  receiver: RecoverableReceiver,
  options: Omit<RecoveryOptions<never>, "scope">,
  source: Source,
): Promise<RecoveryResult> {
  const recovery = recoveryOf(receiver, provider);
  const { since, dryRun = false, onProgress, signal } = options;
  signal?.throwIfAborted();
  const window = await windowOf(recovery, since);
  const report = new Report(provider, window, dryRun);

  async function run(lost?: AbortSignal): Promise<RecoveryResult> {
    for await (const { events, envelopes } of untilAborted(source(report, recovery), signal, lost)) {
      report.find(events);
      if (!dryRun) {
        const records = await recovery.dispatch(envelopes);
        report.count(events, records);
        const isRefused = records.every(
          ({ outcome }) => outcome === "claim_failed" || outcome === "sink_failed",
        );
        if (isRefused) return report.result("stopped");
      }
      onProgress?.({ found: report.found, dispatched: report.dispatched });
    }
    const checkpoint = report.checkpoint();
    if (checkpoint !== undefined) await recovery.saveCheckpoint(checkpoint);
    return report.result("finished", checkpoint);
  }

  if (dryRun) return run();
  return (await recovery.exclusively(run)) ?? report.result("busy");
}

/** Yields the items of a list. Throws the signal's reason once one of the signals aborts, also during a wait. */
async function* untilAborted<T>(
  list: AsyncIterable<T>,
  ...signals: readonly (AbortSignal | undefined)[]
): AsyncGenerator<T, void> {
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const listeners = signals.map((signal) => {
      const onAbort = () => reject(signal?.reason);
      if (signal?.aborted) onAbort();
      signal?.addEventListener("abort", onAbort);
      return () => signal?.removeEventListener("abort", onAbort);
    });
    stop = () => {
      for (const remove of listeners) remove();
    };
  });
  // It also rejects when nothing waits for it.
  aborted.catch(() => {});
  const iterator = list[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = iterator.next();
      // A call that fails after the abort has no reader.
      next.catch(() => {});
      const { done, value } = await Promise.race([aborted, next]);
      for (const signal of signals) signal?.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    stop();
  }
}

/**
 * Returns the subscriptions of this app.
 *
 * @throws TypeError without a `scope` if the subscriptions deliver to several URLs.
 */
export function inScope<S>(
  subscriptions: readonly S[],
  urlOf: (subscription: S) => string,
  scope: ((subscription: S) => boolean) | undefined,
): readonly S[] {
  if (scope !== undefined) return subscriptions.filter(scope);
  const urls = new Set(subscriptions.map((subscription) => normalizeUrl(urlOf(subscription))));
  if (urls.size <= 1) return subscriptions;
  throw new TypeError(
    `The subscriptions deliver to ${urls.size} URLs. Pass scope, a function that returns whether a subscription delivers to this app.`,
  );
}

/** Returns events in order of time. */
export function inOrder<T extends { readonly occurredAt: Date }>(events: readonly T[]): T[] {
  return [...events].sort((a, b) => Number(a.occurredAt) - Number(b.occurredAt));
}
