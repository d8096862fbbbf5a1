import type { Provider } from "../../provider.js";
import { EVENT_TYPES, parseEvents, subjectOf, type TolokaEvents } from "./events.js";
import { parseSignature } from "./signature.js";

/** Webhooks of Toloka: the header `Toloka-Signature`, and bodies of one or many events. */
export const toloka: Provider<TolokaEvents> = {
  name: "toloka",
  defaultPath: "/toloka-webhook",
  eventTypes: EVENT_TYPES,
  signsEventIds: true,
  parseSignature: parseSignature,
  parseEvents: parseEvents,
  subjectOf: subjectOf,
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
