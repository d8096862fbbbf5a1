import { isHTTPError, type RetryOptions } from "ky";
import type { ApiCall } from "./call.js";

/** In milliseconds. If the provider asks for a longer wait, the call fails, so that no app's start hangs. */
const RETRY_AFTER_MAX = 60_000;
/** The longest wait before the first retry, in milliseconds. It doubles with each retry. */
const BACKOFF = 500;
const BACKOFF_MAX = 10_000;
const RETRIED_STATUSES = [429, 500, 502, 503, 504];

/**
 * Returns ky's retry options for one call.
 *
 * @param onUncertain Runs after an attempt that may have succeeded: one without a response, or with 5xx.
 */
export function retryOptions(call: ApiCall, retries: number, onUncertain: () => void): RetryOptions {
  return {
    limit: retries,
    // `shouldRetry` decides by the call, so ky must not decide by the method.
    methods: [call.method],
    statusCodes: RETRIED_STATUSES,
    afterStatusCodes: RETRIED_STATUSES,
    shouldRetry: ({ error }) => shouldRetry(call, error, onUncertain),
    delay: (attempt) => BACKOFF * 2 ** (attempt - 1),
    backoffLimit: BACKOFF_MAX,
    // At least half of the delay, so that an overloaded provider gets time to recover.
    jitter: (delay) => delay * (0.5 + Math.random() / 2),
  };
}

/** Returns `true` to retry after the backoff, `undefined` to retry after the wait in `Retry-After`. */
function shouldRetry(call: ApiCall, error: Error, onUncertain: () => void): boolean | undefined {
  if (!isHTTPError(error)) {
    onUncertain();
    return call.idempotent;
  }
  const { status, headers } = error.response;
  if (status >= 500) onUncertain();
  if (status !== 429 && !(call.idempotent && RETRIED_STATUSES.includes(status))) return false;
  const wait = parseRetryAfter(headers.get("retry-after"));
  if (wait === undefined) return true;
  return wait > RETRY_AFTER_MAX ? false : undefined;
}

/** Returns the wait in milliseconds. Source: RFC 9110, section 10.2.3. */
function parseRetryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  return /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
}
