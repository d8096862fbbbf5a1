import { describeValue } from "@crowdhook/core/internal";
import { parseHttpUrl } from "./arguments.js";
import { typeName } from "./type-name.js";

/** The options that both providers' clients take. */
export interface ClientOptions {
  /** Replaces the provider's own API address. Without a trailing slash or a query. */
  readonly baseUrl?: string | undefined;
  /** Called with a URL and its options. Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /** The time limit of one attempt, including the response body, in seconds. Default 10. */
  readonly timeout?: number | undefined;
  /** How often a call is retried, if it is safe to retry. Default 4. */
  readonly retries?: number | undefined;
}

/** In seconds. A timer in Node fires at once when its delay exceeds 24 days. */
const TIMEOUT_MAX = 3_600;
const RETRIES_MAX = 20;

/** @throws TypeError if an option is invalid. The message names the mistake and the fix. */
export function checkClientOptions({ baseUrl, fetch, timeout, retries }: ClientOptions): void {
  if (baseUrl !== undefined) checkBaseUrl(baseUrl);
  if (fetch !== undefined && typeof fetch !== "function") {
    throw new TypeError("fetch must be a function such as the global fetch.");
  }
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0 && timeout <= TIMEOUT_MAX)) {
    throw new TypeError(
      `timeout must be a number of seconds, above 0 and at most ${TIMEOUT_MAX}, not ${describeValue(timeout)}.`,
    );
  }
  if (
    retries !== undefined &&
    !(Number.isInteger(retries) && (retries as number) >= 0 && (retries as number) <= RETRIES_MAX)
  ) {
    throw new TypeError(
      `retries must be a whole number from 0 to ${RETRIES_MAX}, not ${describeValue(retries)}.`,
    );
  }
}

function checkBaseUrl(baseUrl: unknown): void {
  const url = parseHttpUrl(baseUrl);
  // The message never shows the URL, because a URL can contain a password.
  const mistake =
    url === undefined
      ? "is not an http or https URL"
      : url.username || url.password
        ? "contains a user name or password"
        : url.search || url.hash
          ? "has a query or a fragment"
          : (baseUrl as string).endsWith("/")
            ? "ends with a slash"
            : undefined;
  if (mistake) {
    throw new TypeError(
      `baseUrl ${mistake}. Pass the part that all calls share, such as "https://toloka.dev/api/v1".`,
    );
  }
}

/**
 * Checks an API key or token. The message does not show it.
 *
 * @param variable The environment variable that usually holds the key. The message names it.
 * @throws TypeError if a header cannot carry the key.
 */
export function checkKey(option: string, value: unknown, variable: string): void {
  if (typeof value !== "string" || value === "") {
    const mistake = value === "" ? "is empty" : `must be a string, not ${typeName(value)}`;
    throw new TypeError(`${option} ${mistake}. Check that ${variable} is set.`);
  }
  if (/\s/.test(value)) {
    throw new TypeError(
      `${option} contains white space. Trim it, and pass the key without "ApiKey", "OAuth" or "Token" before it.`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new TypeError(`${option} contains characters that are not ASCII. Copy it again from the account.`);
  }
}
