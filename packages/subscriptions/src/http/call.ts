/** One call of a REST API. */
export interface ApiCall {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** Follows the base URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly json?: unknown;
  /**
   * Whether two runs of the call have the same effect as one. A call that is not idempotent is retried
   * only after 429, which means that the provider did nothing.
   */
  readonly idempotent: boolean;
  /** The secrets in the request. Errors must not show them. */
  readonly secrets?: readonly (string | undefined)[];
  /** Accepts a response with status 404. */
  readonly allowNotFound?: boolean;
}

export interface ApiResponse {
  readonly status: number;
  /** The parsed body; `undefined` if there is none. */
  readonly body: unknown;
  header(name: string): string | null;
  /** Whether an earlier attempt may have succeeded, because it got no response or a 5xx. */
  readonly afterUncertainAttempt: boolean;
}

export function urlOf(baseUrl: string, { path, query = {} }: ApiCall): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return `${baseUrl}${path}${search.size === 0 ? "" : `?${search}`}`;
}
