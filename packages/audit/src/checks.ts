import { type Check, describeCheck, type RunnableCheck } from "./check.js";
import { BODY_CHECKS } from "./checks/body.js";
import { END_CHECKS } from "./checks/end.js";
import { EVENT_CHECKS } from "./checks/events.js";
import { HTTP_CHECKS } from "./checks/http.js";
import { ONCE_CHECKS } from "./checks/once.js";
import { REPLY_CHECKS } from "./checks/replies.js";
import { SIGNATURE_CHECKS } from "./checks/signature.js";
import { SIZE_CHECKS } from "./checks/size.js";
import { TIME_CHECKS } from "./checks/time.js";

/** In the order in which they run. Checks that may harm an endpoint run late, after most results are in. */
export const RUNNABLE_CHECKS: readonly RunnableCheck[] = [
  ...SIGNATURE_CHECKS,
  ...TIME_CHECKS,
  ...BODY_CHECKS,
  ...EVENT_CHECKS,
  ...ONCE_CHECKS,
  ...HTTP_CHECKS,
  ...SIZE_CHECKS,
  ...REPLY_CHECKS,
  ...END_CHECKS,
];

/** All checks, as data. */
export const CHECKS: readonly Check[] = RUNNABLE_CHECKS.map(describeCheck);
