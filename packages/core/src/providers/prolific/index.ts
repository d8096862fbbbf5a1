import type { Provider } from "../../provider.js";
import { EVENT_TYPES, type ProlificEvents, parseEvents, subjectOf } from "./events.js";
import { parseSignature } from "./signature.js";

/** Webhooks of Prolific: the headers `X-Prolific-Request-…` and `X-Event-ID`, one event a delivery. */
export const prolific: Provider<ProlificEvents> = {
  name: "prolific",
  defaultPath: "/prolific-webhook",
  eventTypes: EVENT_TYPES,
  signsEventIds: false,
  parseSignature: parseSignature,
  parseEvents: parseEvents,
  subjectOf: subjectOf,
};

export type {
  ProlificEventData,
  ProlificEvents,
  ProlificEventType,
  ProlificStudyHighReturnRate,
  ProlificStudyStatusChange,
  ProlificSubmissionStatus,
  ProlificSubmissionStatusChange,
} from "./events.js";
