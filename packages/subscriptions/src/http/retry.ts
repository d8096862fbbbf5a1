import { isHTTPError, type RetryOptions } from "ky";
import { SubscriptionError } from "../errors.js";
import type { ApiCall } from "./call.js";
import { parseRetryAfter } from "./retry-after.js";

/** The longest wait in milliseconds, whatever `Retry-After` asks for, so that no app's start hangs. */
const WAIT_MAX = 60_000;
/** The longest wait before the first retry, in milliseconds. It doubles with each retry. */
const BACKOFF = 500;
const BACKOFF_MAX = 10_000;
const RETRIED_STATUSES = [429, 500, 502, 503, 504];

/**
 * Returns ky's retry options for one call. The wait is the one that `Retry-After` asks for, but not shorter
 * than the backoff and not longer than a minute.
 *
 * @param onUncertain Runs after an attempt that may have succeeded: one without a response, or with 5xx.
 */
export function retryOptions(call: ApiCall, retries: number, onUncertain: () => void): RetryOptions {
  let asked = 0;
  return {
    limit: retries,
    // `shouldRetry` decides by the call, so ky must not decide by the method.
    methods: [call.method],
    shouldRetry({ error }) {
      const header = isHTTPError(error) ? error.response.headers.get("retry-after") : null;
      asked = parseRetryAfter(header, Date.now()) ?? 0;
      return shouldRetry(call, error, onUncertain);
    },
    delay: (attempt) => Math.min(WAIT_MAX, Math.max(backoff(attempt), asked)),
  };
}

/** Returns at least half of the longest wait, so that an overloaded provider gets time to recover. */
function backoff(attempt: number): number {
  return Math.min(BACKOFF_MAX, BACKOFF * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}

function shouldRetry(call: ApiCall, error: Error, onUncertain: () => void): boolean {
  // The response was refused, and the next one would be as well.
  if (error instanceof SubscriptionError) return false;
  if (!isHTTPError(error)) {
    onUncertain();
    return call.idempotent;
  }
  const { status } = error.response;
  if (status >= 500) onUncertain();
  return status === 429 || (call.idempotent && RETRIED_STATUSES.includes(status));
}
