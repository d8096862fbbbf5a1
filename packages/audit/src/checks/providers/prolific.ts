import type { Sender } from "@crowdhook/core/testing";
import type { RunnableCheck } from "../../check.js";
import { PROLIFIC_WEBHOOKS } from "../../sources.js";

const isProlific = ({ provider }: Sender) => provider.name === "prolific";

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
