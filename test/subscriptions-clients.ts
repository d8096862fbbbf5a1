import { inspect } from "node:util";
import {
  createProlificSubscriptions,
  createTolokaSubscriptions,
  type ProlificSubscriptionsOptions,
  SubscriptionError,
  type TolokaSubscriptionsOptions,
} from "@crowdhook/subscriptions";
import { afterAll, afterEach, beforeEach, expect, vi } from "vitest";
import { startProlificApi } from "./subscriptions-prolific-api.js";
import type { Handler } from "./subscriptions-server.js";
import { startTolokaApi } from "./subscriptions-toloka-api.js";

export const TOLOKA_URL = "https://example.com/toloka-webhook";
export const PROLIFIC_URL = "https://example.com/prolific-webhook";
export const WORKSPACE = "workspace-1";
/** No error may show any of these. */
const SECRETS = ["test-key", "test-token", "s3cret-of-the-form", "hook-secret-of"];

/**
 * Starts both providers' APIs for one test file, and returns them with functions that create clients for
 * them. It resets the APIs before each test. After each test it checks that the clients sent no invalid
 * request, and that they used all handlers.
 */
export async function startApis() {
  const [tolokaApi, prolificApi] = await Promise.all([startTolokaApi(), startProlificApi(WORKSPACE)]);
  beforeEach(() => {
    tolokaApi.reset();
    prolificApi.reset();
  });
  afterEach(() => {
    vi.restoreAllMocks();
    expect(tolokaApi.invalidRequests).toEqual([]);
    expect([...tolokaApi.nextHandlers, ...prolificApi.nextHandlers]).toEqual([]);
  });
  afterAll(() => Promise.all([tolokaApi.close(), prolificApi.close()]));
  return {
    tolokaApi,
    prolificApi,
    tolokaClient: (options: TolokaSubscriptionsOptions = {}) =>
      createTolokaSubscriptions({ apiKey: "test-key", baseUrl: tolokaApi.baseUrl, ...options }),
    prolificClient: (options: Partial<ProlificSubscriptionsOptions> = {}) =>
      createProlificSubscriptions({
        token: "test-token",
        workspaceId: WORKSPACE,
        baseUrl: prolificApi.baseUrl,
        ...options,
      }),
  };
}

/** Returns a form of Toloka's. */
export const form = (event_type: string, pool_id = "7", webhook_url = TOLOKA_URL) => ({
  webhook_url,
  event_type,
  pool_id,
});

/** Closes the connection without a response. */
export const disconnect: Handler = (_, response) => {
  response.socket?.destroy();
  return undefined;
};
/** Never responds. */
export const hang: Handler = () => undefined;
export const status =
  (status: number, headers: Record<string, string> = {}): Handler =>
  () => ({ status, headers });

/**
 * Makes the client's waits immediate, and returns the list of their original lengths in milliseconds.
 *
 * @param attemptTimeout The timer of this length limits an attempt and stays as it is.
 */
export function skipWaits(attemptTimeout = 10_000): number[] {
  const waits: number[] = [];
  const setTimeout = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms = 0, ...args: []) => {
    // Node's own fetch sets timers, too.
    const isWait = /subscriptions[\\/]src/.test(new Error().stack ?? "") && ms !== attemptTimeout;
    if (isWait) waits.push(ms);
    return setTimeout(run, isWait ? 0 : ms, ...args);
  }) as typeof setTimeout);
  return waits;
}

/** Returns the error that a promise rejects with, after checking that it shows no secret. */
export async function failureOf(promise: Promise<unknown>): Promise<SubscriptionError> {
  const error = await promise.then(
    () => expect.unreachable("The call should have failed."),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(SubscriptionError);
  const shown = [
    JSON.stringify(error),
    inspect(error, { depth: 10, showHidden: true }),
    String(error),
  ].join();
  for (const secret of SECRETS) expect(shown).not.toContain(secret);
  expect((error as Error).cause).toBeUndefined();
  return error as SubscriptionError;
}

export async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of list) all.push(item);
  return all;
}
