import { ANSWER_FLAWS } from "./broken-endpoints/answers.js";
import { BODY_FLAWS } from "./broken-endpoints/bodies.js";
import { DUPLICATE_FLAWS } from "./broken-endpoints/duplicates.js";
import { EVENT_FLAWS } from "./broken-endpoints/events.js";
import type { Flaw } from "./broken-endpoints/flaw.js";
import { SIGNATURE_FLAWS } from "./broken-endpoints/signatures.js";

export type { Flaw } from "./broken-endpoints/flaw.js";

/** The mistakes that the audit must find. Each check fails for at least one of them. */
export const FLAWS: readonly Flaw[] = [
  ...ANSWER_FLAWS,
  ...SIGNATURE_FLAWS,
  ...BODY_FLAWS,
  ...EVENT_FLAWS,
  ...DUPLICATE_FLAWS,
];
