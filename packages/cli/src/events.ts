import type { Inspection } from "@crowdhook/core/inspect";

/** A delivery of 5 MiB can hold a million events, each with several problems. */
const EVENTS_MAX = 1_000;
const PROBLEMS_MAX = 20;
/** In UTF-16 units. */
const TEXT_MAX = 255;

/** An event as the command shows it. */
export interface ShownEvent {
  readonly type: string;
  readonly id: string;
  readonly problems?: readonly string[];
}

/** Returns the first events of a delivery, with the first of their problems, and how many events were left out. */
export function shownEvents(events: Inspection["events"]): {
  readonly shown: readonly ShownEvent[];
  readonly leftOut: number;
} {
  const shown = events.slice(0, EVENTS_MAX).map(({ type, id, problems }) => ({
    type: cut(type),
    id: cut(id),
    ...(problems && { problems: firstOf(problems) }),
  }));
  return { shown, leftOut: events.length - shown.length };
}

function firstOf(problems: readonly string[]): readonly string[] {
  const more = problems.length - PROBLEMS_MAX;
  const first = problems.slice(0, PROBLEMS_MAX).map(cut);
  return more > 0 ? [...first, `… and ${more} more problems`] : first;
}

function cut(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}
