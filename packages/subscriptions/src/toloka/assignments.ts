import { parseTolokaTime } from "@crowdhook/core/toloka";
import type { ListedEvent } from "../recovery/result.js";
import type { TolokaAssignmentView, TolokaRecords } from "./records.js";

/** Maps the time of an assignment's transition to the type of the event that reports it. */
export const TRANSITIONS = {
  created: "ASSIGNMENT_CREATED",
  submitted: "ASSIGNMENT_SUBMITTED",
  accepted: "ASSIGNMENT_APPROVED",
  rejected: "ASSIGNMENT_REJECTED",
  skipped: "ASSIGNMENT_SKIPPED",
  expired: "ASSIGNMENT_EXPIRED",
} as const;

export type Transition = keyof typeof TRANSITIONS;

/** One transition of one assignment. */
export interface Step extends Pick<ListedEvent, "occurredAt"> {
  readonly transition: Transition;
  readonly assignment: TolokaAssignmentView;
}

interface Span {
  readonly poolId: string;
  readonly transition: Transition;
  readonly since: number;
  readonly until: number;
}

/**
 * Yields the assignments of a pool that made a transition in a span of time, in order of time.
 *
 * Each page begins at the time of the last item before it, because several assignments can share a time. If
 * a whole page shares one time, the next pages follow the ids within that time.
 */
async function* stepsOf(
  { assignments }: TolokaRecords,
  { poolId, transition, since, until }: Span,
): AsyncGenerator<Step, void> {
  const last = formatTime(until);
  const range = { pool_id: poolId, [`${transition}_lte`]: last };
  let bound: "gte" | "gt" = "gte";
  let from = formatTime(since);
  /** The ids of the items at the time `from` that were yielded. */
  let seen = new Set<string>();
  for (;;) {
    const query = { ...range, [`${transition}_${bound}`]: from, sort: transition };
    const { items, has_more } = await assignments(query);
    for (const item of items) if (!seen.has(item.id)) yield stepOf(item, transition);
    const to = items.at(-1)?.[transition];
    if (!has_more || !to) return;
    const isStuck = to === from;
    if (!isStuck) seen = new Set();
    for (const item of items) if (item[transition] === to) seen.add(item.id);
    from = to;
    bound = "gte";
    if (!isStuck) continue;
    // The page brought nothing later than the one before it.
    for await (const item of itemsAt(assignments, { pool_id: poolId, transition, time: from })) {
      if (!seen.has(item.id)) yield stepOf(item, transition);
    }
    bound = "gt";
    seen = new Set();
  }
}

/** Yields all assignments of one time, by id. */
async function* itemsAt(
  assignments: TolokaRecords["assignments"],
  { pool_id, transition, time }: { pool_id: string; transition: Transition; time: string },
): AsyncGenerator<TolokaAssignmentView, void> {
  const range = { pool_id, [`${transition}_gte`]: time, [`${transition}_lte`]: time, sort: "id" };
  let after: string | undefined;
  for (;;) {
    const { items, has_more } = await assignments({ ...range, id_gt: after });
    yield* items;
    after = items.at(-1)?.id;
    if (!has_more || after === undefined) return;
  }
}

/** Yields the steps of all transitions in order of time. Holds one page of each transition. */
export async function* inTime(
  records: TolokaRecords,
  transitions: readonly Transition[],
  span: Omit<Span, "transition">,
): AsyncGenerator<Step, void> {
  const lists = transitions.map((transition) => stepsOf(records, { ...span, transition }));
  const heads = await Promise.all(lists.map(async (list) => ({ list, next: await list.next() })));
  for (;;) {
    const open = heads.flatMap((head) => (head.next.done ? [] : [{ head, step: head.next.value }]));
    const [first] = open.sort((a, b) => Number(a.step.occurredAt) - Number(b.step.occurredAt));
    if (first === undefined) return;
    yield first.step;
    first.head.next = await first.head.list.next();
  }
}

function stepOf(assignment: TolokaAssignmentView, transition: Transition): Step {
  const occurredAt = parseTolokaTime(assignment[transition] ?? "") as Date;
  return { transition, assignment, occurredAt };
}

/** Returns a time as Toloka writes it: ISO 8601 in UTC, without an offset. */
export function formatTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, -1);
}
