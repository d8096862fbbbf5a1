import { assembleProvider } from "../defining/assemble-provider.js";
import { createSignature } from "../defining/signature.js";
import { ENVELOPE, type ProlificEvents, SCHEMAS } from "./events.js";
import { SIGNATURE } from "./signature.js";

/** Webhooks of Prolific. Signed with the headers `X-Prolific-Request-…`; one event per delivery. */
export const prolific = assembleProvider<ProlificEvents>(
  { name: "prolific", signature: SIGNATURE, envelope: ENVELOPE, events: SCHEMAS },
  createSignature(SIGNATURE),
);

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
