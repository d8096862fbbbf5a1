import type { Delivery, Provider, ReceivedEvent } from "@crowdhook/core";
import { describeError, kindOf, type WatchedEvent } from "@crowdhook/core/internal";
import type { HeaderLines } from "@crowdhook/core/testing";
import type { EventDetail, Row, Verdict } from "../wire.js";

/** A receiver of the app, or one of the command. */
export interface Source {
  readonly provider: Provider;
  /** In seconds. */
  readonly tolerance: number;
  /** Empty if deliveries are not verified. */
  secretsFor(delivery: Delivery): Promise<readonly string[]>;
  /** Has a delivery handled as if the provider had sent it. */
  deliver(delivery: OutgoingDelivery): Promise<unknown>;
}

export interface OutgoingDelivery {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: HeaderLines;
  readonly body: Uint8Array;
}

export interface CapturedAnswer {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: string;
}

/** A delivery as it arrived, and what became of it. */
export interface Captured {
  /** Unix time in milliseconds. */
  readonly receivedAt: number;
  /** `undefined` if the provider is unknown. */
  readonly source: Source | undefined;
  readonly method: string;
  readonly path: string | undefined;
  readonly headers: HeaderLines;
  /** `undefined` if the body was not read. */
  readonly body: Uint8Array | undefined;
  readonly verdict: Verdict;
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly events: readonly EventDetail[];
  readonly reply: CapturedAnswer | undefined;
  readonly forwarded?:
    | { readonly url: string; readonly answer?: CapturedAnswer; readonly failure?: string }
    | undefined;
  readonly duration: number | undefined;
}

/** In characters. A sender can invent types and ids of any length. */
const TEXT_MAX = 255;
const TYPES_SHOWN = 3;
const PROBLEMS_MAX = 10;

const WORDS: Readonly<Record<Verdict, string>> = {
  genuine: "Genuine",
  unverified: "Not verified",
  refused: "Refused",
  failed: "Failed",
};

export function rowOf(id: number, captured: Captured, replayOf: number | undefined): Row {
  const { receivedAt, source, events, verdict, code, reason, reply, forwarded, duration } = captured;
  const types = [...new Set(events.slice(0, 1_000).map(({ type }) => type || "(no type)"))];
  return {
    id,
    receivedAt,
    provider: source?.provider.title,
    types: types.slice(0, TYPES_SHOWN),
    events: events.length,
    verdict,
    words: [WORDS[verdict], code ?? outcomesOf(events)].filter(Boolean).join(": "),
    reason: reason === undefined ? undefined : cut(reason, 1_000),
    status: forwarded ? (forwarded.answer?.status ?? 502) : reply?.status,
    duration,
    replayOf,
  };
}

/** Returns the outcomes in words, such as `2 handled, 1 duplicate`; empty if they are not known. */
function outcomesOf(events: readonly EventDetail[]): string {
  const counts = new Map<string, number>();
  for (const { outcome } of events) {
    if (outcome !== undefined) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(", ");
}

/** @param withStacks Whether to describe errors whole; otherwise only by their kind. */
export function eventDetails(
  provider: Provider,
  events: readonly (Pick<WatchedEvent, "event"> & Partial<WatchedEvent>)[],
  withStacks: boolean,
): readonly EventDetail[] {
  const describe = withStacks ? describeError : kindOf;
  return events.map(({ event, outcome, errors = [] }) => ({
    type: cut(event.type),
    id: cut(event.id),
    subject: subjectOf(provider, event),
    occurredAt: event.occurredAt === undefined ? undefined : Number(event.occurredAt),
    outcome,
    error: errors.length === 0 ? undefined : errors.map(describe).join("\n\n"),
    problems: event.problems?.slice(0, PROBLEMS_MAX).map((problem) => cut(problem)),
  }));
}

function subjectOf(provider: Provider, event: ReceivedEvent): string | undefined {
  try {
    const subject = provider.subjectOf(event);
    return subject === undefined ? undefined : cut(subject);
  } catch {
    // A provider of the app's own may throw for an event that does not fit its type.
    return undefined;
  }
}

export function cut(text: string, max = TEXT_MAX): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}
