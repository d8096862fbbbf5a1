/** What is known of a failure beside its message. */
export interface SubscriptionFailure {
  readonly platform: "toloka" | "prolific";
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly requestId?: string | undefined;
  readonly payload?: unknown;
  readonly subscriptionId?: string | undefined;
}

/**
 * A call to a provider's REST API that failed. Its message names the call and the cause. Neither it nor
 * any field holds an API key, a token or a secret: where an answer repeats one, `[hidden]` stands.
 */
export class SubscriptionError extends Error implements SubscriptionFailure {
  override readonly name = "SubscriptionError";
  readonly platform: "toloka" | "prolific";
  /** The answer's HTTP status; `undefined` if there was none. */
  readonly status?: number;
  /**
   * The provider's own code, such as `VALIDATION_ERROR`. Where it gave none: `TIMEOUT`,
   * `ANSWER_MALFORMED`, and without an answer what the network said, such as `ECONNREFUSED`, else
   * `UNREACHABLE`.
   */
  readonly code?: string;
  /** Toloka's id of the request, to name when asking its support. */
  readonly requestId?: string;
  /** What the answer says beyond that: Toloka's `payload`, Prolific's whole body. */
  readonly payload?: unknown;
  /** The subscription that exists all the same, unconfirmed, after a failed `subscribe` of Prolific's. */
  readonly subscriptionId?: string;

  constructor(message: string, failure: SubscriptionFailure) {
    // No cause: a client's error can hold the request, and so its headers.
    super(message);
    this.platform = failure.platform;
    const { status, code, requestId, payload, subscriptionId } = failure;
    if (status !== undefined) this.status = status;
    if (code !== undefined) this.code = code;
    if (requestId !== undefined) this.requestId = requestId;
    if (payload !== undefined) this.payload = payload;
    if (subscriptionId !== undefined) this.subscriptionId = subscriptionId;
  }
}

const NAMES = { toloka: "Toloka", prolific: "Prolific" } as const;

/** The provider's name as it is written in a sentence. */
export function nameOf(platform: "toloka" | "prolific"): string {
  return NAMES[platform];
}
