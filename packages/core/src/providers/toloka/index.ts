import { assembleProvider } from "../defining/assemble-provider.js";
import { ENVELOPE, occurrenceOf, SCHEMAS, type TolokaEvents } from "./events.js";
import { SIGNATURE } from "./signature.js";

/** Webhooks of Toloka. Signed with the header `Toloka-Signature`; one or many events per delivery. */
export const toloka = assembleProvider<TolokaEvents>(
  { name: "toloka", signature: SIGNATURE, envelope: ENVELOPE, events: SCHEMAS, occurrenceOf },
  SIGNATURE,
);

export { parseIsoTime as parseTolokaTime } from "../../text/iso-time.js";
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
