import type { ApiCall } from "./call.js";

/** Statuses for which `new Response` throws if it gets a body. Source: the fetch standard. */
const BODILESS_STATUSES = new Set([204, 205, 304]);

/**
 * Runs one attempt of a call. It reads the whole body, so that a body that stalls or breaks off fails the
 * attempt and the call can be retried.
 *
 * The authorization is added here and not in ky's request, because ky's errors hold that request.
 */
export async function attempt(
  call: ApiCall,
  url: string,
  {
    authorization,
    fetch = globalThis.fetch,
    signal,
  }: {
    readonly authorization: string;
    readonly fetch?: typeof globalThis.fetch | undefined;
    readonly signal: AbortSignal;
  },
): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", authorization };
  if (call.json !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(url, {
    method: call.method,
    headers,
    // Following a redirect can turn a POST into a GET.
    redirect: "manual",
    signal,
    ...(call.json !== undefined && { body: JSON.stringify(call.json) }),
  });
  const text = await response.text();
  return new Response(BODILESS_STATUSES.has(response.status) ? null : text, {
    status: response.status,
    headers: neededHeaders(response.headers),
  });
}

function neededHeaders(all: Headers): Headers {
  const needed = new Headers();
  for (const name of ["content-type", "location", "x-hook-secret"]) {
    const value = all.get(name);
    if (value !== null) needed.set(name, value);
  }
  // ky retries at once if it cannot parse Retry-After, or if it finds another provider's rate limit header.
  const retryAfter = all.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}$/.test(retryAfter) || !Number.isNaN(Date.parse(retryAfter)))
    needed.set("retry-after", retryAfter);
  return needed;
}
