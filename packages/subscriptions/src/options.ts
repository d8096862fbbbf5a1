/** How a client calls the provider, for both. */
export interface ClientOptions {
  /** Where the API is, in place of the provider's own address: without a trailing slash or a query. */
  readonly baseUrl?: string | undefined;
  /** Is called with a URL and its options. Default: the global one. */
  readonly fetch?: typeof fetch | undefined;
  /** How long one attempt may take, answer included, in seconds. Default 10. */
  readonly timeout?: number | undefined;
  /** How often a call is repeated that may be repeated. Default 4. */
  readonly retries?: number | undefined;
}

/** Longer than any answer takes; timers of Node's end at 24 days. In seconds. */
const TIMEOUT_MAX = 3_600;
const RETRIES_MAX = 20;

/** @throws TypeError for options that cannot work; the message names the mistake and the fix. */
export function checkClientOptions({ baseUrl, fetch, timeout, retries }: ClientOptions): void {
  if (baseUrl !== undefined) checkBaseUrl(baseUrl);
  if (fetch !== undefined && typeof fetch !== "function") {
    throw new TypeError("fetch must be a function such as the global fetch.");
  }
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0 && timeout <= TIMEOUT_MAX)) {
    throw new TypeError(
      `timeout must be a number of seconds, above 0 and at most ${TIMEOUT_MAX}, not ${shown(timeout)}.`,
    );
  }
  if (
    retries !== undefined &&
    !(Number.isInteger(retries) && (retries as number) >= 0 && (retries as number) <= RETRIES_MAX)
  ) {
    throw new TypeError(`retries must be a whole number from 0 to ${RETRIES_MAX}, not ${shown(retries)}.`);
  }
}

function checkBaseUrl(baseUrl: unknown): void {
  const url = urlOf(baseUrl);
  // Never shown as it is: a URL can hold a password.
  const mistake =
    url === undefined
      ? "is not an http or https URL"
      : url.username || url.password
        ? "holds a user name or password"
        : url.search || url.hash
          ? "has a query or a fragment"
          : (baseUrl as string).endsWith("/")
            ? "ends with a slash"
            : undefined;
  if (mistake) {
    throw new TypeError(
      `baseUrl ${mistake}. Pass only the part that every call begins with, such as "https://toloka.dev/api/v1".`,
    );
  }
}

/**
 * @param variable The environment variable that it may come from.
 * @throws TypeError if it cannot be sent in a header. The message does not show it.
 */
export function checkKey(option: string, value: unknown, variable: string): void {
  if (typeof value !== "string" || value === "") {
    throw new TypeError(
      `${option} is ${value === "" ? "empty" : `${kindOf(value)}, not a string`}: is ${variable} set?`,
    );
  }
  if (/\s/.test(value)) {
    throw new TypeError(
      `${option} holds white space, perhaps the line break of the file it came from. Trim it, and pass the key without "ApiKey", "OAuth" or "Token" before it.`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new TypeError(`${option} holds characters that are not ASCII: copy it again from the account.`);
  }
}

/** @throws TypeError for what cannot be a part of a path: a call must not end up at another address. */
export function checkId(name: string, id: unknown): string {
  if (typeof id === "string" && /^[\w-]{1,255}$/.test(id)) return id;
  throw new TypeError(
    `${name} must be the id of one, of letters, digits, "-" and "_", not ${typeof id === "string" ? shown(id.slice(0, 50)) : kindOf(id)}.`,
  );
}

/** @throws TypeError for what a delivery cannot be sent to. The message shows no more than the origin. */
export function checkTarget(field: string, value: unknown, httpsOnly: boolean): void {
  const url = urlOf(value);
  if (url === undefined) {
    throw new TypeError(`${field} must be the whole URL of the webhook, such as "https://example.com/hook".`);
  }
  if (httpsOnly && url.protocol !== "https:") {
    throw new TypeError(
      `${field} must begin with "https://": Prolific delivers to nothing else. It is at ${url.origin}.`,
    );
  }
}

/** @throws TypeError if a field is not a text with something in it. */
export function checkText(field: string, value: unknown): void {
  if (typeof value === "string" && value.trim() !== "") return;
  throw new TypeError(
    `${field} must be a string that is not empty, not ${value === "" ? "an empty one" : kindOf(value)}.`,
  );
}

/** @throws TypeError for a secret that a receiver would refuse. The message does not show it. */
export function checkSecret(field: string, value: unknown): void {
  checkText(field, value);
  if ((value as string) !== (value as string).trim()) {
    throw new TypeError(
      `${field} begins or ends with white space. Trim it, as the receiver's secret must be.`,
    );
  }
}

/** The URL if it is one that can be fetched. */
function urlOf(value: unknown): URL | undefined {
  if (typeof value !== "string" || !URL.canParse(value)) return undefined;
  const url = new URL(value);
  return /^https?:$/.test(url.protocol) ? url : undefined;
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function kindOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}
