import * as z from "zod/mini";
import { checkId, checkSecret } from "../arguments.js";
import { SubscriptionError } from "../errors.js";
import type { ApiCall } from "../http/call.js";
import { createApiClient } from "../http/client.js";
import { malformed } from "../http/failures.js";
import { parseResponse } from "../http/response.js";
import { checkClientOptions, checkKey } from "../options.js";
import { recover } from "../recovery/recover.js";
import {
  checkProlificChange,
  checkProlificForm,
  type ProlificSubscriptionChange,
  type ProlificSubscriptionForm,
} from "./form.js";
import { prolificSource } from "./recover.js";
import {
  EVENT_TYPE,
  PAGE_META,
  readProlificError,
  SECRET,
  SUBSCRIPTION,
  SUBSCRIPTION_EVENT,
  unwrapList,
  unwrapOne,
} from "./responses.js";
import type {
  ProlificSubscription,
  ProlificSubscriptionEvent,
  ProlificSubscriptions,
  ProlificSubscriptionsOptions,
} from "./subscriptions.js";
import { syncProlific } from "./sync.js";

const PRODUCTION = "https://api.prolific.com/api/v1";
const PATH = "/hooks/subscriptions";
/** The page size that a list asks for. Prolific documents no maximum and may return fewer. */
const PAGE_SIZE = 100;

/**
 * Creates a client for the hook subscriptions of a Prolific workspace. It sends nothing until a method is
 * called.
 *
 * It retries all calls after 429. After 5xx, a time-out or a lost connection it retries all but those that
 * create a subscription or a secret.
 *
 * @throws TypeError if an option is invalid. The message names the mistake and the fix.
 */
export function createProlificSubscriptions(options: ProlificSubscriptionsOptions): ProlificSubscriptions {
  const { token, workspaceId, baseUrl = PRODUCTION } = options;
  checkClientOptions(options);
  checkKey("token", token, "PROLIFIC_TOKEN");
  const workspace_id = checkId("workspaceId", workspaceId);
  const api = createApiClient({
    ...options,
    provider: "prolific",
    baseUrl,
    authorization: `Token ${token}`,
    secret: token ?? "",
    readError: readProlificError,
  });

  async function listOnePage<T>(call: ApiCall, schema: z.ZodMiniType<T>): Promise<T[]> {
    return (await api.request(call, z.looseObject({ results: z.array(schema) }), unwrapList)).results;
  }

  async function* listAllPages<T extends { id: string }>(
    path: string,
    query: ApiCall["query"],
    schema: z.ZodMiniType<T>,
  ): AsyncGenerator<T, void> {
    const page = z.looseObject({ results: z.array(schema), meta: PAGE_META });
    const seen = new Set<string>();
    let offset = 0;
    let idsBefore = "";
    for (;;) {
      const call: ApiCall = {
        method: "GET",
        path,
        query: { ...query, limit: PAGE_SIZE, offset },
        idempotent: true,
      };
      const { results, meta } = await api.request(call, page, unwrapList);
      for (const item of results) {
        if (seen.has(item.id)) continue;
        seen.add(item.id);
        yield item;
      }
      offset += results.length;
      // A short page may not be the last one, because Prolific may return fewer items than asked for. A page
      // of known items may not be, either: others were added in front of them. The same page again is.
      const ids = JSON.stringify(results.map(({ id }) => id));
      const isLast = results.length === 0 || ids === idsBefore;
      if (isLast || offset >= (meta?.count ?? Number.POSITIVE_INFINITY)) return;
      idsBefore = ids;
    }
  }

  async function subscribe(form: ProlificSubscriptionForm): Promise<ProlificSubscription> {
    checkProlificForm(form);
    const { event_type, target_url, is_enabled } = form;
    const json = { workspace_id, event_type, target_url, is_enabled };
    const call: ApiCall = { method: "POST", path: `${PATH}/`, json, idempotent: false };
    const response = await api.send(call);
    const { id } = parseResponse(
      "prolific",
      call,
      { ...response, body: unwrapOne(response.body) },
      SUBSCRIPTION,
    );
    const secret = response.header("x-hook-secret");
    if (!secret) {
      const problem = "X-Hook-Secret: expected a header with the secret for the confirmation";
      throw await undone(id, malformed("prolific", call, problem, response.status));
    }
    return confirm(id, secret).catch(async (error) => {
      throw error instanceof SubscriptionError ? await undone(id, error) : error;
    });
  }

  /** Deletes a subscription that was not confirmed: Prolific shows the secret for that only once. */
  async function undone(id: string, error: SubscriptionError): Promise<SubscriptionError> {
    const isDeleted = await api.delete(pathOf(id)).then(
      () => true,
      () => false,
    );
    return unconfirmed(id, isDeleted, error);
  }

  async function confirm(id: string, secret: string): Promise<ProlificSubscription> {
    checkSecret("secret", secret);
    const call: ApiCall = {
      method: "POST",
      path: pathOf(id),
      json: { secret },
      idempotent: true,
      secrets: [secret],
    };
    return api.request(call, SUBSCRIPTION, unwrapOne);
  }

  async function update(id: string, change: ProlificSubscriptionChange): Promise<ProlificSubscription> {
    checkProlificChange(change);
    const { event_type, target_url, is_enabled } = change;
    const json = { event_type, target_url, is_enabled };
    const call: ApiCall = { method: "PATCH", path: pathOf(id), json, idempotent: true };
    return api.request(call, SUBSCRIPTION, unwrapOne);
  }

  /** Prolific lists either the enabled or the disabled subscriptions. */
  async function* list({
    is_enabled,
  }: {
    readonly is_enabled?: boolean | undefined;
  } = {}): AsyncGenerator<ProlificSubscription, void> {
    const seen = new Set<string>();
    for (const each of is_enabled === undefined ? [true, false] : [is_enabled]) {
      // Only this path of Prolific's has no slash at its end.
      const query = { workspace_id, is_enabled: each };
      for await (const subscription of listAllPages<ProlificSubscription>(PATH, query, SUBSCRIPTION)) {
        // One that is disabled meanwhile is in both lists.
        if (!seen.has(subscription.id)) yield subscription;
        seen.add(subscription.id);
      }
    }
  }

  const client: ProlificSubscriptions = {
    eventTypes: () =>
      listOnePage({ method: "GET", path: "/hooks/event-types/", idempotent: true }, EVENT_TYPE),
    secrets: () =>
      listOnePage(
        { method: "GET", path: "/hooks/secrets/", query: { workspace_id }, idempotent: true },
        SECRET,
      ),
    createSecret: () =>
      api.request(
        { method: "POST", path: "/hooks/secrets/", json: { workspace_id }, idempotent: false },
        SECRET,
      ),
    subscribe,
    confirm,
    list,
    get: async (id) =>
      api.request({ method: "GET", path: pathOf(id), idempotent: true }, SUBSCRIPTION, unwrapOne),
    update,
    enable: (id) => update(id, { is_enabled: true }),
    disable: (id) => update(id, { is_enabled: false }),
    delete: async (id, options) => api.delete(pathOf(id), options),
    events: (id, { status } = {}) =>
      listAllPages<ProlificSubscriptionEvent>(`${pathOf(id)}events/`, { status }, SUBSCRIPTION_EVENT),
    sync: async (desired, options = {}) => syncProlific(client, desired, options),
    recover: async (receiver, options = {}) =>
      recover("prolific", receiver, options, prolificSource(client, options)),
  };
  return client;
}

function pathOf(id: string): string {
  return `${PATH}/${checkId("id", id)}/`;
}

function unconfirmed(
  id: string,
  isDeleted: boolean,
  { message, provider, status, code, payload }: SubscriptionError,
): SubscriptionError {
  const consequence = isDeleted
    ? `Subscription ${id} was not confirmed, so it was deleted again. Subscribe again.`
    : `Subscription ${id} exists but is not confirmed, so Prolific delivers nothing to it. Delete it and subscribe again.`;
  const failure = { provider, status, code, payload, subscriptionId: id };
  return new SubscriptionError(`${consequence} ${message}`, failure);
}
