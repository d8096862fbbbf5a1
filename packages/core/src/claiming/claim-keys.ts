import type { ReceivedEvent } from "../event.js";
import type { ReceiverOptions } from "../options.js";
import type { Provider } from "../provider.js";
import type { ClaimKeys } from "./claimer.js";

/**
 * Decides under which keys an event is claimed.
 *
 * @param replayable For how long a signature can be replayed, in milliseconds.
 */
export function createClaimKeys(
  {
    name,
    signsEventIds,
    subjectOf,
  }: Pick<Provider, "name" | "signsEventIds"> & { subjectOf: Provider["subjectOf"] },
  { claims, detectStale }: ReceiverOptions,
  replayable: number,
): (event: ReceivedEvent, digest: string | undefined) => ClaimKeys | undefined {
  // A memory of its own holds nobody else's keys, and signed ids cannot collide by themselves.
  const prefix = claims || !signsEventIds ? `${name}:` : "";

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
