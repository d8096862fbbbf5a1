import type { Provider } from "../../provider.js";
import { EVENT_TYPES, type ProlificEvents, readEvents, readSubject } from "./events.js";
import { readSignature } from "./signature.js";

/** Webhooks of Prolific: the headers `X-Prolific-Request-…` and `X-Event-ID`, one event a delivery. */
export const prolific: Provider<ProlificEvents> = {
  name: "prolific",
  defaultPath: "/prolific-webhook",
  eventTypes: EVENT_TYPES,
  idsAreSigned: false,
  readSignature,
  readEvents,
  readSubject,
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
