/** Shared by crowdhook's own packages. Not public API: anything here may change in any release. */
export {
  type Captured,
  type CapturedAnswer,
  eventDetails,
  type OutgoingDelivery,
  type Source,
} from "./deliveries/captured.js";
export { createInspector, type InspectorCore, type InspectorSettings } from "./inspector.js";
export type { FailedEvents } from "./sinks.js";
