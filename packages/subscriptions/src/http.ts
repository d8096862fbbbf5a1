import ky, { isHTTPError, isTimeoutError } from "ky";
import * as z from "zod/mini";
import { nameOf, SubscriptionError, type SubscriptionFailure } from "./errors.js";
import type { ClientOptions } from "./options.js";

/** One call of a REST API. */
export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** Below the base URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly json?: unknown;
  /**
   * Whether doing it twice is the same as doing it once. What is not is repeated after 429 alone,
   * which says that nothing was done.
   */
  readonly repeatable: boolean;
  /** Secrets in what is sent, that must not show in an error. */
  readonly secrets?: readonly (string | undefined)[];
  /** Takes 404 for an answer. */
  readonly mayBeMissing?: boolean;
}

interface Answer {
  readonly status: number;
  /** The body, parsed; `undefined` if there is none. */
  readonly body: unknown;
  header(name: string): string | null;
  /** An attempt before this one ended without a word on whether it was done. */
  readonly uncertain: boolean;
}

/** What a provider's error body says. */
export type ErrorReader = (
  body: Readonly<Record<string, unknown>>,
) => Partial<Omit<SubscriptionFailure, "platform" | "status">> & { readonly message?: string | undefined };

export interface HttpOptions extends ClientOptions {
  readonly platform: "toloka" | "prolific";
  readonly baseUrl: string;
  /** The header's value. */
  readonly authorization: string;
  /** The part of it that must not show in an error. */
  readonly secret: string;
  readonly readError: ErrorReader;
}

export interface Http {
  /** @throws SubscriptionError for every answer but 2xx, and for none. */
  send(call: Call): Promise<Answer>;
  /**
   * Sends, and checks what comes back.
   *
   * @throws SubscriptionError as `send`, and for an answer that does not fit: it names the field.
   */
  ask<T>(call: Call, schema: z.ZodMiniType<T>, unwrap?: (body: unknown) => unknown): Promise<T>;
  /** Checks an answer. */
  read<T>(call: Call, answer: Answer, schema: z.ZodMiniType<T>): T;
  /** Puts `[hidden]` wherever one of the call's secrets stands. */
  hide<T>(call: Call, value: T): T;
  errorOf(call: Call, answer: Answer): SubscriptionError;
  malformed(call: Call, problem: string, status?: number): SubscriptionError;
}

/** Who asks for a longer wait is not waited for: better an error than a start that hangs. In milliseconds. */
const RETRY_AFTER_MAX = 60_000;
/** Before the first repetition, at most. Doubles each time. In milliseconds. */
const BACKOFF = 500;
const BACKOFF_MAX = 10_000;
const RETRIED = [429, 500, 502, 503, 504];
/** Statuses that a `Response` may have no body with. Source: the fetch standard. */
const BODILESS = new Set([204, 205, 304]);

/**
 * Sends over ky, which waits and repeats. The key is put in below it, so that none of ky's errors
 * can hold it.
 */
export function createHttp(options: HttpOptions): Http {
  const { platform, baseUrl, authorization, secret, readError, timeout = 10, retries = 4 } = options;
  const name = nameOf(platform);

  /** One attempt, body included: a body that breaks off or stalls is an attempt that failed. */
  async function attempt(call: Call, url: string, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { accept: "application/json", authorization };
    if (call.json !== undefined) headers["content-type"] = "application/json";
    const response = await (options.fetch ?? globalThis.fetch)(url, {
      method: call.method,
      headers,
      // Followed, a redirect could turn a POST into a GET.
      redirect: "manual",
      signal,
      ...(call.json !== undefined && { body: JSON.stringify(call.json) }),
    });
    const text = await response.text();
    const kept = new Headers();
    for (const header of ["content-type", "location", "x-hook-secret"]) {
      const value = response.headers.get(header);
      if (value !== null) kept.set(header, value);
    }
    // ky would take what it cannot read, and other headers, for "at once".
    const retryAfter = response.headers.get("retry-after")?.trim() ?? "";
    if (/^\d{1,9}$/.test(retryAfter) || !Number.isNaN(Date.parse(retryAfter)))
      kept.set("retry-after", retryAfter);
    return new Response(BODILESS.has(response.status) ? null : text, {
      status: response.status,
      headers: kept,
    });
  }

  async function send(call: Call): Promise<Answer> {
    let attempts = 0;
    let uncertain = false;
    const url = `${baseUrl}${call.path}${queryOf(call.query)}`;
    const mayRepeat = (error: Error): boolean | undefined => {
      if (!isHTTPError(error)) {
        uncertain = true;
        return call.repeatable;
      }
      const { status, headers } = error.response;
      if (status >= 500) uncertain = true;
      if (status !== 429 && !(call.repeatable && RETRIED.includes(status))) return false;
      const wait = waitOf(headers.get("retry-after"));
      // undefined: ky waits as the header says. true: as long as its backoff.
      return wait === undefined ? true : wait > RETRY_AFTER_MAX ? false : undefined;
    };
    try {
      const response = await ky(url, {
        method: call.method,
        fetch: (request) => {
          attempts++;
          return attempt(call, url, (request as Request).signal);
        },
        timeout: timeout * 1000,
        throwHttpErrors: (status) => !(status === 404 && call.mayBeMissing),
        retry: {
          limit: retries,
          // Which may be repeated is decided by call, not by method.
          methods: [call.method],
          statusCodes: RETRIED,
          afterStatusCodes: RETRIED,
          shouldRetry: ({ error }) => mayRepeat(error),
          delay: (attempt) => BACKOFF * 2 ** (attempt - 1),
          backoffLimit: BACKOFF_MAX,
          // At least half of it, so that a provider in trouble does get its rest.
          jitter: (delay) => delay * (0.5 + Math.random() / 2),
        },
      });
      return await answerOf(call, response, uncertain);
    } catch (error) {
      if (error instanceof SubscriptionError) throw error;
      if (isHTTPError(error)) throw errorOf(call, await answerOf(call, error.response, uncertain));
      throw silence(call, error, attempts);
    }
  }

  async function answerOf(call: Call, response: Response, uncertain: boolean): Promise<Answer> {
    const { status, headers } = response;
    const text = await response.text();
    const header = (name: string) => headers.get(name);
    if (text.trim() === "") return { status, body: undefined, header, uncertain };
    try {
      return { status, body: JSON.parse(text), header, uncertain };
    } catch {
      throw new SubscriptionError(
        `${named(call)} was answered with ${status} and ${typeOf(headers)}, not JSON: ${HINTS.get(status) ?? "is baseUrl right, and no proxy in between?"}`,
        { platform, status, code: "ANSWER_MALFORMED" },
      );
    }
  }

  function errorOf(call: Call, { status, body, header }: Answer): SubscriptionError {
    const { message, ...failure } = isObject(body) ? readError(hide(call, body)) : {};
    const retryAfter = header("retry-after");
    const said = [failure.code, message?.slice(0, 500)].filter(Boolean).join(": ");
    const parts = [
      `${named(call)} was answered with ${status}${said && `, ${said}`}`,
      failure.requestId && `request ${failure.requestId}`,
      retryAfter && `Retry-After: ${retryAfter}`,
      HINTS.get(status) ??
        (status < 400 ? "a redirect, which is not followed: is baseUrl right?" : undefined),
    ];
    return new SubscriptionError(parts.filter(Boolean).join("; "), { platform, status, ...failure });
  }

  /** The error where there was no answer. What the network says is kept by its code alone. */
  function silence(call: Call, error: unknown, attempts: number): SubscriptionError {
    const timedOut = isTimeoutError(error);
    const code = timedOut ? "TIMEOUT" : (codeOf(error) ?? "UNREACHABLE");
    const what = timedOut ? `was not answered within ${timeout} seconds` : `got no answer (${code})`;
    const often = attempts > 1 ? `, ${attempts} times` : "";
    const doubt = call.repeatable ? "" : " It was not repeated: it may have been done all the same.";
    return new SubscriptionError(`${named(call)} ${what}${often}.${doubt}`, { platform, code });
  }

  function read<T>(call: Call, { status, body }: Answer, schema: z.ZodMiniType<T>): T {
    const result = z.safeParse(schema, body);
    if (result.success) return result.data;
    throw malformed(call, result.error.issues.slice(0, 3).map(describe).join("; "), status);
  }

  function malformed(call: Call, problem: string, status?: number): SubscriptionError {
    return new SubscriptionError(`The answer to ${named(call)} cannot be read: ${problem}.`, {
      platform,
      status,
      code: "ANSWER_MALFORMED",
    });
  }

  function hide<T>(call: Call, value: T): T {
    const secrets = [secret, ...(call.secrets ?? [])].filter((each) => each !== undefined && each !== "");
    const hidden = (text: string) =>
      (secrets as string[]).reduce((left, each) => left.replaceAll(each, "[hidden]"), text);
    const walk = (part: unknown): unknown => {
      if (typeof part === "string") return hidden(part);
      if (typeof part === "number") return secrets.includes(String(part)) ? "[hidden]" : part;
      if (Array.isArray(part)) return part.map(walk);
      if (!isObject(part)) return part;
      return Object.fromEntries(Object.entries(part).map(([key, field]) => [hidden(key), walk(field)]));
    };
    return walk(value) as T;
  }

  const named = ({ method, path }: Call) => `${name}: ${method} ${path}`;

  return {
    send,
    async ask(call, schema, unwrap = (body) => body) {
      const answer = await send(call);
      return read(call, { ...answer, body: unwrap(answer.body) }, schema);
    },
    read,
    hide,
    errorOf,
    malformed,
  };
}

/** What helps where the answer itself does not say it. */
const HINTS: ReadonlyMap<number, string> = new Map([
  [401, "is the key right, and of this environment?"],
  [403, "may this key do that?"],
  [429, "too many requests: try again later"],
]);

function queryOf(query: Call["query"] = {}): string {
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) given.set(key, String(value));
  return given.size === 0 ? "" : `?${given}`;
}

/** In milliseconds. Source: RFC 9110, section 10.2.3. */
function waitOf(retryAfter: string | null): number | undefined {
  if (retryAfter === null) return undefined;
  return /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
}

function codeOf(error: unknown): string | undefined {
  for (const each of [error, error instanceof Error ? error.cause : undefined]) {
    const code = isObject(each) ? each.code : undefined;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,39}$/.test(code)) return code;
  }
  return undefined;
}

function typeOf(headers: Headers): string {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : "no content type";
}

/** Names and shapes only, never values. */
function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path.join(".") || "the body";
  return `${path}: ${issue.code === "invalid_type" ? `expected ${issue.expected}` : issue.message}`;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
