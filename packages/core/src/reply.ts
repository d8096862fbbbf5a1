import type { Attempt } from "./claiming/attempt.js";
import { ERRORS, type ErrorCode } from "./errors.js";
import type { Counts, Outcome } from "./outcome.js";

/** The answer to a delivery. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * JSON in ASCII. Unless every event succeeded, it has a `code` and a `message`. Unless the delivery was
   * refused, it has the number of events by outcome.
   */
  readonly body: string;
}

/** The reason why the receiver refuses a delivery and handles none of its events. */
export interface Refusal {
  readonly code: ErrorCode;
  /** A sentence for the operator. The sender never sees it. */
  readonly reason?: string | undefined;
}

/** The result of a delivery: a refusal, or one finished attempt per event. */
export type Result = Refusal | readonly Attempt[];

export function isRefusal(result: Result): result is Refusal {
  return "code" in result;
}

/** The `Retry-After` header of a 503, in seconds. */
const RETRY_AFTER = "5";

/** Returns the reply to a delivery with this result. */
export function replyTo(result: Result): Reply {
  const { code, counts } = summarize(result);
  const status = code === undefined ? 200 : ERRORS[code].status;
  const body = JSON.stringify(
    code === undefined ? counts : { code, message: ERRORS[code].message, ...counts },
  );
  return {
    status,
    headers: {
      "content-type": "application/json",
      // The body is ASCII (codes, constant sentences and numbers), so its length in characters is its length in bytes.
      "content-length": String(body.length),
      ...(status === 405 && { allow: "POST" }),
      ...(status === 503 && { "retry-after": RETRY_AFTER }),
    },
    body,
  };
}

/** Returns one code and one set of counts for all events of a delivery. */
export function summarize(result: Result): { code: ErrorCode | undefined; counts?: Counts } {
  if (isRefusal(result)) return { code: result.code };
  const count: Record<Outcome, number> = {
    handled: 0,
    ignored: 0,
    duplicate: 0,
    failed: 0,
    busy: 0,
    unrecognized: 0,
    claim_failed: 0,
    settle_failed: 0,
    sink_failed: 0,
  };
  for (const { outcome, shared, event } of result) {
    if (outcome === undefined) continue;
    count[outcome]++;
    // The event was handled although the store failed to settle it, so it counts as handled, too.
    if (outcome === "settle_failed")
      count[shared ? "duplicate" : event.problems ? "unrecognized" : "handled"]++;
  }
  const { handled, ignored, duplicate, failed, busy, unrecognized } = count;
  return { code: codeFor(count), counts: { handled, ignored, duplicate, failed, busy, unrecognized } };
}

/** The code of a failure that the operator has to repair hides the code of a failure that passes by itself. */
function codeFor(count: Record<Outcome, number>): ErrorCode | undefined {
  if (count.failed > 0) return "EVENT_FAILED";
  if (count.sink_failed > 0) return "SINK_UNAVAILABLE";
  if (count.claim_failed + count.settle_failed > 0) return "STORE_UNAVAILABLE";
  if (count.busy > 0) return "EVENT_BUSY";
  return undefined;
}
