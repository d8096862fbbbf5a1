import ky, { isHTTPError, isTimeoutError } from "ky";
import type * as z from "zod/mini";
import { SubscriptionError } from "../errors.js";
import type { ClientOptions } from "../options.js";
import { attempt } from "./attempt.js";
import { type ApiCall, type ApiResponse, urlOf } from "./call.js";
import { type FailingClient, refused, timedOut, unreachable } from "./failures.js";
import { parseResponse, readResponse } from "./response.js";
import { retryOptions } from "./retry.js";

export interface ApiClientOptions extends ClientOptions, FailingClient {
  readonly baseUrl: string;
  /** The value of the Authorization header. */
  readonly authorization: string;
}

export interface ApiClient {
  /** @throws SubscriptionError unless there is a response with a status of 2xx. */
  send(call: ApiCall): Promise<ApiResponse>;
  /**
   * Sends a call and parses the response body.
   *
   * @throws SubscriptionError like `send`, and if the body does not fit the schema.
   */
  request<T>(call: ApiCall, schema: z.ZodMiniType<T>, unwrap?: (body: unknown) => unknown): Promise<T>;
  /**
   * Deletes a resource. Returns false if it does not exist.
   *
   * @throws SubscriptionError like `send`, and with `mustExist` if the resource does not exist.
   */
  delete(path: string, options?: { readonly mustExist?: boolean | undefined }): Promise<boolean>;
}

/** Creates a client for one provider's REST API. ky retries and limits the time of each attempt. */
export function createApiClient(options: ApiClientOptions): ApiClient {
  const { provider, baseUrl, authorization, timeout = 10, retries = 4 } = options;

  async function send(call: ApiCall): Promise<ApiResponse> {
    let attempts = 0;
    let isUncertain = false;
    const url = urlOf(baseUrl, call);
    try {
      const response = await ky(url, {
        method: call.method,
        fetch: (request) => {
          attempts++;
          const { signal } = request as Request;
          return attempt(provider, call, url, { authorization, fetch: options.fetch, signal });
        },
        timeout: timeout * 1000,
        throwHttpErrors: (status) => !(status === 404 && call.allowNotFound),
        retry: retryOptions(call, retries, () => {
          isUncertain = true;
        }),
      });
      return await readResponse(options, call, response, isUncertain);
    } catch (error) {
      if (error instanceof SubscriptionError) throw error;
      if (isHTTPError(error)) {
        throw refused(options, call, await readResponse(options, call, error.response, isUncertain));
      }
      if (isTimeoutError(error)) throw timedOut(provider, call, { timeout, attempts });
      throw unreachable(provider, call, { error, attempts });
    }
  }

  return {
    send,
    async request(call, schema, unwrap = (body) => body) {
      const response = await send(call);
      return parseResponse(provider, call, { ...response, body: unwrap(response.body) }, schema);
    },
    async delete(path, { mustExist = false } = {}) {
      const call: ApiCall = { method: "DELETE", path, idempotent: true, allowNotFound: true };
      const response = await send(call);
      // After an uncertain attempt, 404 can mean that this attempt has deleted the resource.
      if (response.status !== 404 || response.afterUncertainAttempt) return true;
      if (mustExist) throw refused(options, call, response);
      return false;
    },
  };
}
