import { randomUUID } from "node:crypto";
import { createSender } from "../defined-sender.js";
import { ARGILLA_EVENTS, standardWebhooks } from "./index.js";

/** A sample as Argilla writes it. */
const sample = () => ({ version: 1, timestamp: new Date().toISOString(), data: { id: randomUUID() } });

export const standardWebhooksSender = createSender(standardWebhooks(ARGILLA_EVENTS), {
  samples: Object.fromEntries(Object.keys(ARGILLA_EVENTS).map((type) => [type, sample])),
  defaultType: "record.completed",
});
