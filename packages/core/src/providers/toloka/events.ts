import * as z from "zod/mini";
import type { ReceivedEvent } from "../../event.js";
import { isObject } from "../../text/describe.js";
import type { EnvelopeDefinition } from "../defining/definition.js";
import { type EventFields, idOf, listOf, type Schemas, withJsonSchema } from "../event-validator.js";

/** The fields of every event. Source: Toloka's webhook documentation and OpenAPI file. */
export interface TolokaEventData {
  /** Unique per event. */
  uuid: string;
  /** ISO 8601 in UTC, without an offset. The event's `occurredAt` is the same time as a `Date`. */
  event_time: string;
  project_id: string;
  pool_id: string;
}

/** The fields of every event except `TEST_EVENT`. */
export interface TolokaSubscribedData extends TolokaEventData {
  webhook_subscription_id: string;
}

export interface TolokaPoolClosed extends TolokaSubscribedData {
  /** For example `MANUAL`. The set is open. */
  close_reason: string;
}

export interface TolokaAssignment extends TolokaSubscribedData {
  task_suite_id: string;
  assignment_id: string;
}

export interface TolokaDynamicOverlapCompleted extends TolokaSubscribedData {
  task_id: string;
  /** Documented as an integer, but the documented example is 0.155. */
  confidence: number;
  /** Toloka has sent events without it. */
  assignment_ids?: string[] | null | undefined;
  /** Documented as an array of objects, but the documented example is one object. */
  output_values: Record<string, unknown> | Record<string, unknown>[];
}

/** Toloka's event types, each with its data. */
export interface TolokaEvents {
  /** A pool was closed. */
  POOL_CLOSED: TolokaPoolClosed;
  /** A Toloker took the task suite. */
  ASSIGNMENT_CREATED: TolokaAssignment;
  /** The task suite was completed and waits for acceptance. */
  ASSIGNMENT_SUBMITTED: TolokaAssignment;
  /** The task suite was taken and skipped. The Toloker will not return to it. */
  ASSIGNMENT_SKIPPED: TolokaAssignment;
  /** The task suite was not completed in time, or was given up. */
  ASSIGNMENT_EXPIRED: TolokaAssignment;
  /** The requester accepted the assignment. */
  ASSIGNMENT_APPROVED: TolokaAssignment;
  /** The requester rejected the assignment. */
  ASSIGNMENT_REJECTED: TolokaAssignment;
  /** An aggregated result appeared. */
  DYNAMIC_OVERLAP_COMPLETED: TolokaDynamicOverlapCompleted;
  /** Sent only by the call that tests a subscription. */
  TEST_EVENT: TolokaEventData;
}

/** The name of one of Toloka's event types. */
export type TolokaEventType = keyof TolokaEvents & string;

/** The six event types about an assignment, for `on(ASSIGNMENT_EVENT_TYPES, …)`. */
export const ASSIGNMENT_EVENT_TYPES = [
  "ASSIGNMENT_CREATED",
  "ASSIGNMENT_SUBMITTED",
  "ASSIGNMENT_SKIPPED",
  "ASSIGNMENT_EXPIRED",
  "ASSIGNMENT_APPROVED",
  "ASSIGNMENT_REJECTED",
] as const satisfies readonly TolokaEventType[];

const text = z.string();
const common = { uuid: text, event_time: text, project_id: text, pool_id: text };
const subscribed = { ...common, webhook_subscription_id: text };
const assignment = z.object({ ...subscribed, task_suite_id: text, assignment_id: text });
const isText = (value: unknown): value is string => typeof value === "string";

export const SCHEMAS: Schemas<TolokaEvents> = {
  POOL_CLOSED: z.object({ ...subscribed, close_reason: text }),
  ASSIGNMENT_CREATED: assignment,
  ASSIGNMENT_SUBMITTED: assignment,
  ASSIGNMENT_SKIPPED: assignment,
  ASSIGNMENT_EXPIRED: assignment,
  ASSIGNMENT_APPROVED: assignment,
  ASSIGNMENT_REJECTED: assignment,
  DYNAMIC_OVERLAP_COMPLETED: z.object({
    ...subscribed,
    task_id: text,
    confidence: z.number(),
    assignment_ids: z.nullish(listOf("string", isText)),
    output_values: withJsonSchema(
      z.custom<TolokaDynamicOverlapCompleted["output_values"]>(
        (value) => isObject(value) || (Array.isArray(value) && value.every(isObject)),
        "expected object or array of objects",
      ),
      { type: ["object", "array"], items: { type: "object" } },
    ),
  }),
  TEST_EVENT: z.object(common),
};

/** The list in `{"events": [...]}`, or the single event in a bare event object, as the documentation shows a test. */
export const ENVELOPE: EnvelopeDefinition = {
  events: { field: "events", optional: true },
  type: "type",
  id: "uuid",
  time: { field: "event_time", format: "iso8601" },
  subject: ["assignment_id", "task_id", "pool_id"],
};

/**
 * Returns what identifies the fact that an event reports. An assignment makes each transition once. A pool
 * can close many times, so its closing is identified by its time, in seconds.
 */
export function occurrenceOf({ type, occurredAt, data }: ReceivedEvent<TolokaEvents>): string | undefined {
  const { assignment_id, pool_id } = data as EventFields;
  if ((ASSIGNMENT_EVENT_TYPES as readonly string[]).includes(type)) {
    const assignment = idOf(assignment_id);
    return assignment === "" ? undefined : `${type}:${assignment}`;
  }
  const pool = idOf(pool_id);
  if (type !== "POOL_CLOSED" || pool === "" || occurredAt === undefined) return undefined;
  return `${type}:${pool}:${Math.floor(Number(occurredAt) / 1000)}`;
}
