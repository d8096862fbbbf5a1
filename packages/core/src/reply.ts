import type { Attempt } from "./claiming/attempt.js";
import { ERRORS, type ErrorCode } from "./errors.js";
import type { Counts, Outcome } from "./outcome.js";

/** What to answer. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: the `code` unless all went well, and how many events had which outcome. ASCII. */
  readonly body: string;
}

/** Seconds after which a sender may try again what was answered with 503. */
const RETRY_AFTER = "5";

export function reply(code: ErrorCode | undefined, counts?: Counts): Reply {
  const counted = counts ? written(counts) : "";
  if (code === undefined) return json(200, `{${counted}}`);
  const { status, message } = ERRORS[code];
  const reply = json(status, `{"code":"${code}","message":"${message}"${counted && `,${counted}`}}`);
  if (status === 405) reply.headers.allow = "POST";
  if (status === 503) reply.headers["retry-after"] = RETRY_AFTER;
  return reply;
}

/** By hand: JSON.stringify would take as long as a tenth of a small delivery. */
function written({ handled, duplicate, failed, busy, unrecognized }: Counts): string {
  return `"handled":${handled},"duplicate":${duplicate},"failed":${failed},"busy":${busy},"unrecognized":${unrecognized}`;
}

/** @param body Codes, constant sentences and numbers: ASCII, so its length in characters is that in bytes. */
function json(status: number, body: string): Reply & { headers: Record<string, string> } {
  return {
    status,
    headers: { "content-type": "application/json", "content-length": String(body.length) },
    body,
  };
}

/** Why the events of a delivery are not handled. */
export interface Refusal {
  readonly code: ErrorCode;
  /** For the operator; the sender never sees it. */
  readonly reason?: string | undefined;
}

/** What became of a delivery: a refusal, or one finished attempt per event. */
export type Result = Refusal | readonly Attempt[];

export function isRefusal(result: Result): result is Refusal {
  return "code" in result;
}

/** What to answer a delivery with. */
export function replyTo(result: Result): Reply {
  const { code, counts } = summarize(result);
  return reply(code, counts);
}

/** One code and one set of counts for all events of a delivery. */
export function summarize(result: Result): { code: ErrorCode | undefined; counts?: Counts } {
  if (isRefusal(result)) return { code: result.code };
  const count: Record<Outcome, number> = {
    handled: 0,
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
    // An event that could not be settled was still handled, so it is counted as that as well.
    if (outcome === "settle_failed")
      count[shared ? "duplicate" : event.problems ? "unrecognized" : "handled"]++;
  }
  const { handled, duplicate, failed, busy, unrecognized } = count;
  return { code: codeFor(count), counts: { handled, duplicate, failed, busy, unrecognized } };
}

/** What the operator has to repair comes before what passes by itself. */
function codeFor(count: Record<Outcome, number>): ErrorCode | undefined {
  if (count.failed > 0) return "EVENT_FAILED";
  if (count.sink_failed > 0) return "SINK_UNAVAILABLE";
  if (count.claim_failed + count.settle_failed > 0) return "STORE_UNAVAILABLE";
  if (count.busy > 0) return "EVENT_BUSY";
  return undefined;
}
