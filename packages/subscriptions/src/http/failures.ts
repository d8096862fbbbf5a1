import { isObject } from "@crowdhook/core/internal";
import { SubscriptionError, type SubscriptionFailure } from "../errors.js";
import { type ProviderName, TITLES } from "../provider.js";
import type { ApiCall, ApiResponse } from "./call.js";
import { parseRetryAfter } from "./retry-after.js";
import { hideSecrets } from "./secrets.js";

/** Reads the details of a failure from the body of a provider's error response. */
export type ErrorReader = (
  body: Readonly<Record<string, unknown>>,
) => Partial<Omit<SubscriptionFailure, "provider" | "status">> & { readonly message?: string | undefined };

/** The parts of a client that its errors depend on. */
export interface FailingClient {
  readonly provider: ProviderName;
  /** The API key or token. Errors must not show it. */
  readonly secret: string;
  readonly readError: ErrorReader;
}

const HINTS: ReadonlyMap<number, string> = new Map([
  [401, "check the API key, and that it belongs to this environment"],
  [403, "check the permissions of the API key"],
  [429, "too many requests, try again later"],
]);

function describeCall(provider: ProviderName, { method, path }: ApiCall): string {
  return `${TITLES[provider]}: ${method} ${path}`;
}

function secretsIn(secret: string, { secrets = [] }: ApiCall): readonly (string | undefined)[] {
  return [secret, ...secrets];
}

/** Returns the error for a response whose status is not a success. */
export function refused(
  { provider, secret, readError }: FailingClient,
  call: ApiCall,
  { status, body, header }: ApiResponse,
): SubscriptionError {
  const { message, ...failure } = isObject(body) ? readError(hideSecrets(body, secretsIn(secret, call))) : {};
  const retryAfter = header("retry-after");
  const reason = [failure.code, message?.slice(0, 500)].filter(Boolean).join(": ");
  const parts = [
    `${describeCall(provider, call)} returned ${status}${reason && `, ${reason}`}`,
    failure.requestId && `request ${failure.requestId}`,
    parseRetryAfter(retryAfter, 0) !== undefined && `Retry-After: ${retryAfter}`,
    HINTS.get(status) ?? (status < 400 ? "redirects are not followed, check baseUrl" : undefined),
  ];
  return new SubscriptionError(parts.filter(Boolean).join("; "), { provider, status, ...failure });
}

/** Returns the error for a response that does not fit its schema. */
export function malformed(
  provider: ProviderName,
  call: ApiCall,
  problem: string,
  status?: number,
): SubscriptionError {
  return new SubscriptionError(`${describeCall(provider, call)} returned a malformed response: ${problem}.`, {
    provider,
    status,
    code: "RESPONSE_MALFORMED",
  });
}

/** Returns the error for a response whose body is not JSON. The message does not quote the body. */
export function notJson(
  { provider, secret }: FailingClient,
  call: ApiCall,
  { status, headers }: Response,
): SubscriptionError {
  const type = hideSecrets(contentTypeOf(headers), secretsIn(secret, call));
  const hint = HINTS.get(status) ?? "check baseUrl, and whether a proxy answers for the provider";
  return new SubscriptionError(
    `${describeCall(provider, call)} returned ${status} with ${type}, not JSON: ${hint}.`,
    { provider, status, code: "RESPONSE_MALFORMED" },
  );
}

function contentTypeOf(headers: Headers): string {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : "no content type";
}

/** Returns the error for a response body of more than `limit` bytes. */
export function tooLarge(
  provider: ProviderName,
  call: ApiCall,
  status: number,
  limit: number,
): SubscriptionError {
  return new SubscriptionError(
    `${describeCall(provider, call)} returned ${status} with a body over ${limit / 2 ** 20} MiB: check baseUrl, and whether a proxy answers for the provider.`,
    { provider, status, code: "RESPONSE_TOO_LARGE" },
  );
}

/** Returns the error for a call that timed out on every attempt. `timeout` is in seconds. */
export function timedOut(
  provider: ProviderName,
  call: ApiCall,
  { timeout, attempts }: { readonly timeout: number; readonly attempts: number },
): SubscriptionError {
  return noResponse(provider, call, "TIMEOUT", `timed out after ${timeout} seconds`, attempts);
}

/** Returns the error for a call that the network failed. Only the code of the network's error is shown. */
export function unreachable(
  provider: ProviderName,
  call: ApiCall,
  { error, attempts }: { readonly error: unknown; readonly attempts: number },
): SubscriptionError {
  const code = networkCodeOf(error) ?? "UNREACHABLE";
  return noResponse(provider, call, code, `got no response: ${code}`, attempts);
}

function noResponse(provider: ProviderName, call: ApiCall, code: string, problem: string, attempts: number) {
  const count = attempts > 1 ? ` (${attempts} attempts)` : "";
  const doubt = call.idempotent ? "" : " It was not retried, because it may have succeeded.";
  return new SubscriptionError(`${describeCall(provider, call)} ${problem}${count}.${doubt}`, {
    provider,
    code,
  });
}

function networkCodeOf(error: unknown): string | undefined {
  for (const each of [error, error instanceof Error ? error.cause : undefined]) {
    const code = isObject(each) ? each.code : undefined;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,39}$/.test(code)) return code;
  }
  return undefined;
}
