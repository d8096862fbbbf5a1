import type { Sender } from "@crowdhook/core/testing";
import type { RunnableCheck } from "../../check.js";
import { PROLIFIC_VERIFYING, PROLIFIC_WEBHOOKS } from "../../sources.js";

const isProlific = ({ provider }: Sender) => provider.name === "prolific";

export const PROLIFIC_SIGNATURE_CHECKS: readonly RunnableCheck[] = [
  {
    id: "signature-boundary",
    group: "signature",
    appliesTo: isProlific,
    level: "MUST",
    requirement: "Digits that were moved from the time to the body are detected.",
    reason: "The signed text has no separator between the time and the body, so the signature stays valid.",
    source: PROLIFIC_VERIFYING,
    run: (session) => {
      const events = [session.event()];
      const time = session.sender.formatTime(Date.now());
      const body = time.slice(-1) + session.sender.composeBody(events);
      return session.expectRefused({ events, body, time: time.slice(0, -1) });
    },
  },
];

export const PROLIFIC_EVENT_CHECKS: readonly RunnableCheck[] = [
  {
    id: "event-values-new",
    group: "events",
    appliesTo: isProlific,
    level: "MUST",
    requirement: "A submission with an undocumented status is accepted.",
    reason: "Prolific may add statuses.",
    source: PROLIFIC_WEBHOOKS,
    run: (session) => session.expectAccepted({ events: [session.event({ status: "SOMETHING NEW" })] }),
  },
];
