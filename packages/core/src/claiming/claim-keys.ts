import type { ReceivedEvent } from "../event.js";
import type { Provider } from "../provider.js";

/** In UTF-16 units. The store keeps a subject and a type for a day, and a signed body can make them 5 MiB long. */
const TRACKED_MAX = 255;

/** The keys under which the store knows an event. */
export interface ClaimKeys {
  /** Never a number in digits: engines hash such strings without their secret seed, so a sender could flood a Map. */
  readonly event: string;
  /** The replay guard. Its owner is the unsigned part of the event, so only the part that came first wins it. */
  readonly guard?: { readonly key: string; readonly owner: string; readonly lease: number } | undefined;
  /**
   * For `detectStale`: the key of the event's type and subject, and when the event occurred. `undefined` if
   * the type or the subject has more than 255 characters.
   */
  readonly subject?: { readonly key: string; readonly occurredAt: number } | undefined;
}

type Identity = Pick<ReceivedEvent, "id" | "occurrence">;

const isIdentified = ({ id, occurrence }: Identity) => id !== "" || occurrence !== undefined;

/** Returns the key of an event that has an occurrence or an id. */
export function eventKeyOf(provider: string, { id, occurrence }: Identity): string {
  return occurrence === undefined ? `${provider}:${id}` : `${provider}/occurrence:${occurrence}`;
}

interface ClaimKeysOptions {
  readonly detectStale: boolean;
  /** How long a signature can be replayed, in milliseconds. */
  readonly replayable: number;
  readonly subjectOf: Provider["subjectOf"];
}

/** Returns a function that gives the keys of an event, or `undefined` for an event that cannot be claimed. */
export function createClaimKeys(
  {
    name,
    signsEventIds,
    signsEventTypes = true,
  }: Pick<Provider, "name" | "signsEventIds" | "signsEventTypes">,
  { detectStale, replayable, subjectOf }: ClaimKeysOptions,
): (event: ReceivedEvent, digest: string | undefined) => ClaimKeys | undefined {
  return function claimKeysOf(event, digest) {
    const signature = signsEventIds ? undefined : digest;
    // Without an id, the signature stands for the event: a provider that does not sign ids sends one event
    // per delivery.
    if (!isIdentified(event) && signature === undefined) return undefined;
    return {
      event: isIdentified(event) ? eventKeyOf(name, event) : `${name}/without-id:${signature}`,
      guard: digest === undefined ? undefined : guardOf(event, digest),
      subject: detectStale ? tracked(event) : undefined,
    };
  };

  function guardOf({ id, type }: ReceivedEvent, digest: string): ClaimKeys["guard"] {
    // Neither part can have a line break: an unsigned type is in a header, and so is an unsigned id.
    if (!signsEventIds) {
      const owner = signsEventTypes ? id : `${type}\n${id}`;
      return { key: `${name}/signature:${digest}`, owner, lease: replayable };
    }
    // The key is the id: all events of a delivery have one signature, and a header can have several.
    if (signsEventTypes || id === "") return undefined;
    return { key: `${name}/type-of:${id}`, owner: `${type}\n`, lease: replayable };
  }

  function tracked(event: ReceivedEvent): ClaimKeys["subject"] {
    if (!event.occurredAt || event.type.length > TRACKED_MAX) return undefined;
    const subject = subjectOf(event);
    if (subject === undefined || subject.length > TRACKED_MAX) return undefined;
    return { key: `${name}/latest:${event.type}:${subject}`, occurredAt: Number(event.occurredAt) };
  }
}
