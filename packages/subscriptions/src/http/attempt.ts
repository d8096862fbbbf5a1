import type { ProviderName } from "../provider.js";
import type { ApiCall } from "./call.js";
import { tooLarge } from "./failures.js";

/** Statuses for which `new Response` throws if it gets a body. Source: the fetch standard. */
const BODILESS_STATUSES = new Set([204, 205, 304]);

/** In bytes, after decompression. A page of a list is below 1 MiB. */
const BODY_MAX = 10 * 1024 * 1024;

/**
 * Runs one attempt of a call. It reads the whole body, so that a body that stalls or breaks off fails the
 * attempt and the call can be retried.
 *
 * The authorization is added here and not in ky's request, because ky's errors hold that request.
 *
 * @throws SubscriptionError if the body is too large.
 */
export async function attempt(
  provider: ProviderName,
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
  const text = await readText(response, BODY_MAX);
  if (text === undefined) throw tooLarge(provider, call, response.status, BODY_MAX);
  return new Response(BODILESS_STATUSES.has(response.status) ? null : text, {
    status: response.status,
    headers: neededHeaders(response.headers),
  });
}

function neededHeaders(all: Headers): Headers {
  const needed = new Headers();
  for (const name of ["content-type", "location", "retry-after", "x-hook-secret"]) {
    const value = all.get(name);
    if (value !== null) needed.set(name, value);
  }
  return needed;
}

/** Returns the text of a body; `undefined` once it has more than `limit` bytes. `fetch` has decompressed it. */
async function readText(response: Response, limit: number): Promise<string | undefined> {
  const reader = response.body?.getReader?.();
  // A response of another `fetch` may have a stream of another kind.
  if (reader === undefined) return response.text();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > limit) {
      // The provider may not notice. The error must not wait for it.
      reader.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}
