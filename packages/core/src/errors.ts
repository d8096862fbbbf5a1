/**
 * Every way in which a delivery is not answered with 200: its status, and the sentence that the
 * sender is told. The sentences are constants, so that nothing secret can slip into one.
 */
export const ERRORS = {
  METHOD_NOT_ALLOWED: { status: 405, message: "Webhooks are delivered with POST." },
  NOT_FOUND: { status: 404, message: "No webhook is mounted at this path." },
  ENCODING_UNSUPPORTED: { status: 415, message: "The body must be sent without a Content-Encoding." },
  BODY_TOO_LARGE: { status: 413, message: "The body is larger than this endpoint accepts." },
  BODY_ABORTED: { status: 400, message: "The body ended before it was complete." },
  BODY_UNAVAILABLE: { status: 500, message: "The raw body is gone, so its signature cannot be checked." },
  SIGNATURE_MISSING: { status: 401, message: "The delivery is not signed." },
  SIGNATURE_MALFORMED: { status: 401, message: "The signature header cannot be read." },
  SIGNATURE_MISMATCH: { status: 401, message: "The signature does not fit the body." },
  TIMESTAMP_OUT_OF_TOLERANCE: {
    status: 401,
    message: "The delivery was signed too long ago, or in the future.",
  },
  BODY_NOT_JSON: { status: 400, message: "The body is not JSON in UTF-8." },
  ENVELOPE_INVALID: { status: 400, message: "The body is not an envelope of events." },
  EVENT_FAILED: { status: 500, message: "An event could not be handled. Deliver it again." },
  EVENT_BUSY: { status: 503, message: "An event is being handled elsewhere. Deliver it again." },
  SECRET_UNAVAILABLE: { status: 503, message: "The secret cannot be had right now. Deliver it again." },
  STORE_UNAVAILABLE: { status: 503, message: "The claim store is out of reach. Deliver it again." },
  SINK_UNAVAILABLE: { status: 503, message: "The sink did not take the events. Deliver it again." },
  OVERLOADED: { status: 503, message: "The receiver has too much in flight. Deliver it again." },
  SHUTTING_DOWN: { status: 503, message: "The receiver is closing. Deliver it again." },
  INTERNAL_ERROR: { status: 500, message: "The delivery could not be processed. Deliver it again." },
} as const satisfies Record<string, { status: number; message: string }>;

/**
 * What a log may say of an error: its name and its code, such as `Error ECONNREFUSED`. Never its
 * message: a listener's may hold anything, a client's its URL.
 */
export function kindOf(error: unknown): string {
  try {
    if (!(error instanceof Error)) return typeof error;
    const { name, code } = error as { name: unknown; code?: unknown };
    return typeof code === "string" && /^\w{1,40}$/.test(code) ? `${name} ${code}` : String(name);
  } catch {
    // What is thrown can have getters that throw, or be a proxy.
    return typeof error;
  }
}

/** Why a delivery was not answered with 200. Each code has a heading in `docs/errors.md`. */
export type ErrorCode = keyof typeof ERRORS;
