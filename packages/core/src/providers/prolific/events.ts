import * as z from "zod/mini";
import type { EnvelopeDefinition } from "../defining/definition.js";
import type { Schemas } from "../event-validator.js";

/** The documented statuses of a submission, and one that Prolific's CLI knows. Prolific may add others. */
export type ProlificSubmissionStatus =
  | "RESERVED"
  | "ACTIVE"
  | "TIMED-OUT"
  | "AWAITING REVIEW"
  | "APPROVED"
  // Source: Prolific's CLI.
  | "PARTIALLY APPROVED"
  | "RETURNED"
  | "REJECTED"
  | "SCREENED OUT"
  // Unlike `string`, this keeps the names above in an editor's suggestions.
  | (string & {});

/** The documented statuses of a study. Prolific may add others. */
export type ProlificStudyStatus =
  | "UNPUBLISHED"
  | "PUBLISHING"
  | "ACTIVE"
  | "SCHEDULED"
  | "PAUSED"
  | "AWAITING REVIEW"
  | "COMPLETED"
  | (string & {});

/** The fields of every event. Source: Prolific's API reference. */
export interface ProlificEventData {
  event_type: string;
  /** The submission or study that the event is about. */
  resource_id: string;
}

export interface ProlificSubmissionStatusChange extends ProlificEventData {
  participant_id: string;
  status: ProlificSubmissionStatus;
}

export interface ProlificStudyStatusChange extends ProlificEventData {
  /** Prolific has sent events without it. */
  metadata?: Record<string, unknown> | null | undefined;
  status: ProlificStudyStatus;
}

export interface ProlificStudyHighReturnRate extends ProlificEventData {
  /** Prolific has sent events without it. */
  metadata?: Record<string, unknown> | null | undefined;
}

/**
 * Prolific's event types, each with its data. The body holds no time. `occurredAt` is when Prolific sent the
 * event, so `context.stale` compares the times of sending.
 */
export interface ProlificEvents {
  /** A submission has a new status. */
  "submission.status.change": ProlificSubmissionStatusChange;
  /** A study has a new status. */
  "study.status.change": ProlificStudyStatusChange;
  /** A study has made progress. */
  "study.progress.change": ProlificEventData;
  /** Many participants return a study. For sub-studies `resource_id` is the parent study. */
  "study.has_high_return_rate": ProlificStudyHighReturnRate;
}

/** The name of one of Prolific's event types. */
export type ProlificEventType = keyof ProlificEvents & string;

const text = z.string();
const common = { event_type: text, resource_id: text };
/** Not `z.record`, which copies the record and can collect an issue for each of its fields. */
const metadata = z.nullish(z.object({}));

export const SCHEMAS: Schemas<ProlificEvents> = {
  "submission.status.change": z.object({ ...common, participant_id: text, status: text }),
  "study.status.change": z.object({ ...common, metadata, status: text }),
  "study.progress.change": z.object(common),
  "study.has_high_return_rate": z.object({ ...common, metadata }),
};

/**
 * One event per delivery, with its id and time in headers. The signature does not cover those headers. The
 * time is when Prolific sent the event, which may be later than when it happened. It is not documented
 * whether a redelivery has the same time.
 */
export const ENVELOPE: EnvelopeDefinition = {
  type: "event_type",
  id: { header: "X-Event-ID" },
  time: { header: "X-Timestamp", format: "seconds" },
  subject: "resource_id",
};
