import type { Provider } from "../../provider.js";
import { EVENT_TYPES, type ProlificEvents, parseEvents, subjectOf } from "./events.js";
import { matches, parseSignature, SIGNATURE_FORMAT } from "./signature.js";

/** Webhooks of Prolific. Signed with the headers `X-Prolific-Request-…`; one event per delivery. */
export const prolific: Provider<ProlificEvents> = {
  name: "prolific",
  title: "Prolific",
  defaultPath: "/prolific-webhook",
  secretVariable: "PROLIFIC_SECRET",
  eventTypes: EVENT_TYPES,
  eventsPerDelivery: "one",
  signsEventIds: false,
  signatureFormat: SIGNATURE_FORMAT,
  matches,
  parseSignature,
  parseEvents,
  subjectOf,
};

export type {
  ProlificEventData,
  ProlificEvents,
  ProlificEventType,
  ProlificStudyHighReturnRate,
  ProlificStudyStatus,
  ProlificStudyStatusChange,
  ProlificSubmissionStatus,
  ProlificSubmissionStatusChange,
} from "./events.js";
