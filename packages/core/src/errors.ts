import { startOf } from "./text/describe.js";

/**
 * Every reason for a reply other than 200, with its status and its message to the sender. The messages
 * are constants, so that no secret can reach the sender.
 */
export const ERRORS = {
  METHOD_NOT_ALLOWED: { status: 405, message: "Webhooks are delivered with POST." },
  NOT_FOUND: { status: 404, message: "No webhook is mounted at this path." },
  ENCODING_UNSUPPORTED: { status: 415, message: "The body must be sent without a Content-Encoding." },
  BODY_TOO_LARGE: { status: 413, message: "The body is larger than this endpoint accepts." },
  BODY_ABORTED: { status: 400, message: "The body ended before it was complete." },
  BODY_UNAVAILABLE: {
    status: 500,
    message: "The raw body is not available, so its signature cannot be verified.",
  },
  SIGNATURE_MISSING: { status: 401, message: "The delivery is not signed." },
  SIGNATURE_MALFORMED: { status: 401, message: "The signature header cannot be read." },
  SIGNATURE_MISMATCH: { status: 401, message: "The signature does not fit the body." },
  TIMESTAMP_OUT_OF_TOLERANCE: {
    status: 401,
    message: "The delivery was signed too long ago, or in the future.",
  },
  BODY_NOT_JSON: { status: 400, message: "The body is not JSON in UTF-8." },
  ENVELOPE_INVALID: { status: 400, message: "The body is not an envelope of events." },
  EVENT_FAILED: { status: 500, message: "An event could not be handled. Retry later." },
  EVENT_BUSY: { status: 503, message: "An event is being handled elsewhere. Retry later." },
  SECRET_UNAVAILABLE: { status: 503, message: "The secret is temporarily unavailable. Retry later." },
  STORE_UNAVAILABLE: { status: 503, message: "The claim store is temporarily unavailable. Retry later." },
  SINK_UNAVAILABLE: { status: 503, message: "The sink did not take the events. Retry later." },
  OVERLOADED: { status: 503, message: "The receiver has too many deliveries in flight. Retry later." },
  SHUTTING_DOWN: { status: 503, message: "The receiver is shutting down. Retry later." },
  INTERNAL_ERROR: { status: 500, message: "The delivery could not be handled. Retry later." },
} as const satisfies Record<string, { status: number; message: string }>;

/** The reason for a reply other than 200. Each code has a heading in `docs/reference/errors.md`. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * Returns the part of an error that is safe to log: its name and its code, such as `Error ECONNREFUSED`.
 * Leaves out the message, which may hold personal data, or a URL with a password.
 */
export function kindOf(error: unknown): string {
  try {
    if (!(error instanceof Error)) return typeof error;
    const { name, code } = error as { name: unknown; code?: unknown };
    return typeof code === "string" && /^\w{1,40}$/.test(code)
      ? `${name} ${code}`
      : startOf(String(name), 100);
  } catch {
    // The thrown value can be a proxy, or have getters that throw.
    return typeof error;
  }
}

/** An event cannot be handled. The message is safe to log, and completes the line "crowdhook: toloka: <step>: …". */
export class UnfitEventError extends TypeError {}

/** Keeps a log line readable, and bounds what a hostile error can make of it. In characters. */
const DESCRIPTION_MAX = 10_000;
const CAUSES_MAX = 3;

/** Returns an error with its message, its stack and its causes, for the operator. Never throws. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  try {
    for (let each: unknown = error, n = 0; n <= CAUSES_MAX; n++) {
      if (!(each instanceof Error)) {
        parts.push(typeof each === "string" ? each : `${typeof each} ${String(each)}`);
        break;
      }
      const { name, message, stack = "", cause } = each;
      const title = message === "" ? String(name) : `${name}: ${message}`;
      parts.push(stack.includes(message) && stack !== "" ? stack : `${title}\n${stack}`.trim());
      if (cause === undefined) break;
      each = cause;
    }
  } catch {
    // A thrown value can have getters that throw, or be a proxy.
    parts.push(kindOf(error));
  }
  // Indented and without control characters and line separators, so that a sender's text in a message
  // cannot forge a log line.
  const text = parts.join("\nCaused by: ").slice(0, DESCRIPTION_MAX);
  const line = text.replace(/\r?\n/g, "\n    ").replace(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}]/gu, "\ufffd");
  return line.slice(0, DESCRIPTION_MAX).trimEnd();
}
