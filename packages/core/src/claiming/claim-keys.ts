import type { ReceivedEvent } from "../event.js";
import type { Provider } from "../provider.js";

/** The keys under which the store knows an event. */
export interface ClaimKeys {
  readonly event: string;
  /** The replay guard: ties the event's id to the signature that it came with first. */
  readonly signature?: { readonly key: string; readonly lease: number } | undefined;
  /** For `detectStale`: of two events of one subject, the one that occurred later makes the other one stale. */
  readonly subject?: { readonly key: string; readonly occurredAt: number } | undefined;
}

/**
 * Returns a function that gives the keys of an event, or `undefined` if it has nothing to be claimed by.
 * `isShared` tells whether other receivers use the same store, and `replayable` how long a signature can
 * be replayed, in milliseconds.
 */
export function createClaimKeys(
  { name, signsEventIds, subjectOf }: Pick<Provider, "name" | "signsEventIds" | "subjectOf">,
  {
    isShared,
    detectStale,
    replayable,
  }: { readonly isShared: boolean; readonly detectStale: boolean; readonly replayable: number },
): (event: ReceivedEvent, digest: string | undefined) => ClaimKeys | undefined {
  // The process's own memory holds no other provider's keys, and signed ids cannot collide with other keys.
  const prefix = isShared || !signsEventIds ? `${name}:` : "";

  return function claimKeysOf(event, digest) {
    const signature = signsEventIds ? undefined : digest;
    // An event without an id can be claimed by its signature, if that stands for one event only.
    if (event.id === "" && signature === undefined) return undefined;
    const subject = detectStale && event.occurredAt ? subjectOf(event) : undefined;
    return {
      event: event.id === "" ? `${name}/without-id:${signature}` : prefix + event.id,
      signature:
        signature === undefined ? undefined : { key: `${name}/signature:${signature}`, lease: replayable },
      subject:
        subject === undefined
          ? undefined
          : { key: `${name}/latest:${event.type}:${subject}`, occurredAt: Number(event.occurredAt) },
    };
  };
}
