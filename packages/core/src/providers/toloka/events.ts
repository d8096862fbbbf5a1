import * as z from "zod/mini";
import type { ReceivedEvent } from "../../event.js";
import {
  createEventValidator,
  type Fields,
  type Glances,
  idOf,
  isObject,
  type Schemas,
} from "../event-validator.js";

/** What every event carries. Source: Toloka's webhook documentation and OpenAPI file. */
export interface TolokaEventData {
  /** Unique per event. */
  uuid: string;
  /** ISO 8601 without an offset, in UTC. The event's `occurredAt` has it as a `Date`. */
  event_time: string;
  project_id: string;
  pool_id: string;
  /** Fields that are newer than this release are kept. */
  [field: string]: unknown;
}

/** What every event but `TEST_EVENT` carries. */
export interface TolokaSubscribedData extends TolokaEventData {
  webhook_subscription_id: string;
}

export interface TolokaPoolClosed extends TolokaSubscribedData {
  /** `MANUAL` is the documented example; the set is open. */
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
  assignment_ids: string[];
  /** Documented as an array of objects, but the documented example is one object. */
  output_values: Record<string, unknown> | Record<string, unknown>[];
}

/** Toloka's event types, each with its data. */
export interface TolokaEvents {
  /** A pool was closed. */
  POOL_CLOSED: TolokaPoolClosed;
  /** A Toloker took the task suite. */
  ASSIGNMENT_CREATED: TolokaAssignment;
  /** Completed, waiting to be accepted. */
  ASSIGNMENT_SUBMITTED: TolokaAssignment;
  /** Taken and skipped; the Toloker will not return to it. */
  ASSIGNMENT_SKIPPED: TolokaAssignment;
  /** Not done in time, or given up. */
  ASSIGNMENT_EXPIRED: TolokaAssignment;
  /** Accepted by the requester. */
  ASSIGNMENT_APPROVED: TolokaAssignment;
  /** Rejected by the requester. */
  ASSIGNMENT_REJECTED: TolokaAssignment;
  /** An aggregated result appeared. */
  DYNAMIC_OVERLAP_COMPLETED: TolokaDynamicOverlapCompleted;
  /** Sent by the call that tests a subscription, and by nothing else. */
  TEST_EVENT: TolokaEventData;
}

export type TolokaEventType = keyof TolokaEvents & string;

/** The six types that tell of an assignment, for `on(ASSIGNMENT_EVENT_TYPES, …)`. */
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
const anyObject = z.object({});

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
    assignment_ids: z.array(text),
    output_values: z.union([anyObject, z.array(anyObject)]),
  }),
  TEST_EVENT: z.object(common),
};

export const EVENT_TYPES = Object.keys(SCHEMAS) as TolokaEventType[];

// Whether there are an id and a time is known before.
const fitsAll = (data: Fields) => typeof data.project_id === "string" && typeof data.pool_id === "string";
const fitsSubscribed = (data: Fields) => fitsAll(data) && typeof data.webhook_subscription_id === "string";
const fitsAssignment = (data: Fields) =>
  fitsSubscribed(data) && typeof data.task_suite_id === "string" && typeof data.assignment_id === "string";

const GLANCES: Glances<TolokaEvents> = {
  POOL_CLOSED: (data) => fitsSubscribed(data) && typeof data.close_reason === "string",
  ASSIGNMENT_CREATED: fitsAssignment,
  ASSIGNMENT_SUBMITTED: fitsAssignment,
  ASSIGNMENT_SKIPPED: fitsAssignment,
  ASSIGNMENT_EXPIRED: fitsAssignment,
  ASSIGNMENT_APPROVED: fitsAssignment,
  ASSIGNMENT_REJECTED: fitsAssignment,
  TEST_EVENT: fitsAll,
};

const judge = createEventValidator<TolokaEvents>("toloka", SCHEMAS, GLANCES, {
  id: "uuid: expected a string of 1 to 255 characters",
  occurredAt: "event_time: expected ISO 8601",
});

/**
 * The events in `{"events": [...]}`, or the one in a bare event object, as the documentation shows
 * the test notification. `undefined` if the body is neither.
 */
export function parseEvents(body: unknown): readonly ReceivedEvent<TolokaEvents>[] | undefined {
  if (!isObject(body)) return undefined;
  if (!Object.hasOwn(body, "events")) return typeof body.type === "string" ? [readEvent(body)] : undefined;
  const { events } = body;
  return Array.isArray(events) && events.every(isObject) ? events.map(readEvent) : undefined;
}

function readEvent(data: Fields): ReceivedEvent<TolokaEvents> {
  const { type, uuid, event_time } = data;
  return judge(type, idOf(uuid), typeof event_time === "string" ? readTime(event_time) : undefined, data);
}

/** What an event is about: its assignment, else its task, else its pool. */
export function subjectOf({ data }: ReceivedEvent<TolokaEvents>): string | undefined {
  for (const field of ["assignment_id", "task_id", "pool_id"]) {
    const value = data[field];
    if (typeof value === "string") return `${field}:${value}`;
  }
  return undefined;
}

const ISO_8601 = /^(\d{4}-\d\d-(\d\d))T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/;

/** The time that was read last: the events of a delivery often have the same. */
let last = { text: "", time: Number.NaN };

/** Toloka's times have no offset and are UTC; `new Date` alone would take them for local time. */
function readTime(text: string): Date | undefined {
  if (text !== last.text) last = { text, time: usualTime(text) ?? otherTime(text) };
  return Number.isNaN(last.time) ? undefined : new Date(last.time);
}

function otherTime(text: string): number {
  const [, date, day, offset = ""] = ISO_8601.exec(text) ?? [];
  // V8 takes 30 February for 1 March.
  if (new Date(`${date}T00:00Z`).getUTCDate() !== Number(day)) return Number.NaN;
  // And of a fraction with ten digits and more it leaves out the zeros in front.
  const time = text.replace(/(\.\d{3})\d+/, "$1");
  return Date.parse(offset === "" ? `${time}Z` : time);
}

const USUAL = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * A time as Toloka writes nearly all, in Unix milliseconds: reading it takes a fraction of what Date
 * takes, which would be a fifth of what an event costs. Leap days and antiquity are left to that.
 */
function usualTime(text: string): number | undefined {
  if (!USUAL.test(text)) return undefined;
  const year = two(text, 0) * 100 + two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  const [hours, minutes, seconds] = [two(text, 11), two(text, 14), two(text, 17)];
  if (year < 100 || day < 1 || day > (DAYS[month - 1] ?? 0) || hours > 23 || minutes > 59 || seconds > 59)
    return undefined;
  return Date.UTC(year, month - 1, day, hours, minutes, seconds);
}

function two(digits: string, at: number): number {
  return (digits.charCodeAt(at) - 48) * 10 + digits.charCodeAt(at + 1) - 48;
}
