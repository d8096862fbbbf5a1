import { escapeControls } from "@crowdhook/core/internal";
import type { ProviderName } from "./provider.js";

/** The fields of a failed call, without its message. */
export interface SubscriptionFailure {
  readonly provider: ProviderName;
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly requestId?: string | undefined;
  readonly payload?: unknown;
  readonly subscriptionId?: string | undefined;
}

/**
 * A failed call to a provider's REST API. The message names the call and the cause, on one line and with
 * control characters escaped. Neither the message nor a field contains an API key, a token or a secret:
 * `[hidden]` replaces those that a response repeats, also if they are escaped or encoded.
 */
export class SubscriptionError extends Error implements SubscriptionFailure {
  override readonly name = "SubscriptionError";
  readonly provider: ProviderName;
  /** The HTTP status of the response; `undefined` if there was no response. */
  readonly status?: number;
  /**
   * The provider's own code, such as `VALIDATION_ERROR`. If the provider gives none: `TIMEOUT`,
   * `RESPONSE_MALFORMED`, `RESPONSE_TOO_LARGE`, or without a response the network's code, such as
   * `ECONNREFUSED`, else `UNREACHABLE`.
   */
  readonly code?: string;
  /** Toloka's id of the request. Quote it when you contact Toloka's support. */
  readonly requestId?: string;
  /** Further details from the response: Toloka's `payload`, or the whole body from Prolific. */
  readonly payload?: unknown;
  /** The subscription that Prolific's `subscribe` created but did not confirm. */
  readonly subscriptionId?: string;

  constructor(message: string, failure: SubscriptionFailure) {
    // No cause: the error of an HTTP client can hold the request with its headers.
    super(escapeControls(message));
    this.provider = failure.provider;
    const { status, code, requestId, payload, subscriptionId } = failure;
    if (status !== undefined) this.status = status;
    if (code !== undefined) this.code = code;
    if (requestId !== undefined) this.requestId = requestId;
    if (payload !== undefined) this.payload = payload;
    if (subscriptionId !== undefined) this.subscriptionId = subscriptionId;
  }
}
