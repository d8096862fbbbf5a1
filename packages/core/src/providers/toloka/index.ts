import type { Provider } from "../../provider.js";
import {
  countEvents,
  EVENT_TYPES,
  occurrenceOf,
  parseEvents,
  subjectOf,
  type TolokaEvents,
} from "./events.js";
import { matches, parseSignature, SIGNATURE_FORMAT } from "./signature.js";

/** Webhooks of Toloka. Signed with the header `Toloka-Signature`; one or many events per delivery. */
export const toloka: Provider<TolokaEvents> = {
  name: "toloka",
  title: "Toloka",
  defaultPath: "/toloka-webhook",
  secretVariable: "TOLOKA_SECRET",
  eventTypes: EVENT_TYPES,
  eventsPerDelivery: "many",
  signsEventIds: true,
  signatureFormat: SIGNATURE_FORMAT,
  matches,
  parseSignature,
  countEvents,
  parseEvents,
  subjectOf,
  occurrenceOf,
};

export {
  ASSIGNMENT_EVENT_TYPES,
  type TolokaAssignment,
  type TolokaDynamicOverlapCompleted,
  type TolokaEventData,
  type TolokaEvents,
  type TolokaEventType,
  type TolokaPoolClosed,
  type TolokaSubscribedData,
} from "./events.js";
export { parseTolokaTime } from "./time.js";
