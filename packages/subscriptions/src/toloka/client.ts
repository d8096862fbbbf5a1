import { checkId } from "../arguments.js";
import type { ApiCall } from "../http/call.js";
import { createApiClient } from "../http/client.js";
import { malformed } from "../http/failures.js";
import { hideSecrets } from "../http/secrets.js";
import { checkClientOptions, checkKey } from "../options.js";
import { recover } from "../recovery/recover.js";
import { checkTolokaForm, checkTolokaForms, type TolokaSubscriptionForm } from "./form.js";
import { createRecords } from "./records.js";
import { tolokaSource } from "./recover.js";
import {
  CREATED_SUBSCRIPTIONS,
  readTolokaError,
  SUBSCRIPTION,
  SUBSCRIPTION_PAGE,
  subscriptionFrom,
  TEST_RESULT,
  testResultFrom,
} from "./responses.js";
import type {
  TolokaFieldErrors,
  TolokaSubscription,
  TolokaSubscriptionQuery,
  TolokaSubscriptions,
  TolokaSubscriptionsOptions,
} from "./subscriptions.js";
import { syncToloka } from "./sync.js";

const PRODUCTION = "https://toloka.dev/api/v1";
const SANDBOX = "https://sandbox.toloka.dev/api/v1";
const YANDEX_TASKS = "https://tasks.yandex.ru/api/v1";
const PATH = "/webhook-subscriptions";
/** The maximum, so that a list takes few calls. Source: Toloka's REST reference. */
const PAGE_SIZE = 300;
/** Toloka documents no maximum. A batch of this size must be done within the timeout. */
const BATCH_SIZE = 100;

/**
 * Creates a client for the webhook subscriptions of a Toloka account. It sends nothing until a method is
 * called.
 *
 * It retries all calls after 429. After 5xx, a time-out or a lost connection it retries all but `test`,
 * because only `test` has a second effect when it runs twice.
 *
 * @throws TypeError if an option is invalid. The message names the mistake and the fix.
 */
export function createTolokaSubscriptions(options: TolokaSubscriptionsOptions): TolokaSubscriptions {
  checkOptions(options);
  const { apiKey, oauthToken, baseUrl = addressFor(options) } = options;
  const secret = oauthToken ?? apiKey ?? "";
  const api = createApiClient({
    ...options,
    provider: "toloka",
    baseUrl,
    authorization: oauthToken === undefined ? `ApiKey ${apiKey}` : `OAuth ${oauthToken}`,
    secret,
    readError: readTolokaError,
  });

  async function create(form: TolokaSubscriptionForm): Promise<TolokaSubscription> {
    checkTolokaForm(form);
    // One example of the documentation shows the subscription inside an array.
    const unwrap = (body: unknown) => (Array.isArray(body) && body.length === 1 ? body[0] : body);
    return subscriptionFrom(await api.request(put(form, [form]), SUBSCRIPTION, unwrap));
  }

  async function createMany(forms: readonly TolokaSubscriptionForm[]) {
    checkTolokaForms(forms);
    const created: (TolokaSubscription | undefined)[] = forms.map(() => undefined);
    const errors = new Map<number, TolokaFieldErrors>();
    for (let start = 0; start < forms.length; start += BATCH_SIZE) {
      const batch = forms.slice(start, start + BATCH_SIZE);
      const call = put(batch, batch);
      const { items, validation_errors } = await api.request(call, CREATED_SUBSCRIPTIONS);
      const viewByIndex = new Map(Object.entries(items ?? {}));
      const errorByIndex = new Map(Object.entries(validation_errors ?? {}));
      for (const index of batch.keys()) {
        const view = viewByIndex.get(String(index));
        const error = errorByIndex.get(String(index));
        if (view) created[start + index] = subscriptionFrom(view);
        else if (error) errors.set(start + index, hideSecrets(error, [secret, ...call.secrets]));
        else {
          const problem = `items.${index}: expected object, or an error in validation_errors`;
          throw malformed("toloka", call, problem);
        }
      }
    }
    return { created, errors };
  }

  async function* list(query: TolokaSubscriptionQuery = {}): AsyncGenerator<TolokaSubscription, void> {
    let after = query.id_gt;
    for (;;) {
      const call: ApiCall = {
        method: "GET",
        path: PATH,
        query: { limit: PAGE_SIZE, ...query, sort: "id", id_gt: after },
        idempotent: true,
      };
      const { items, has_more } = await api.request(call, SUBSCRIPTION_PAGE);
      for (const view of items) yield subscriptionFrom(view);
      if (!has_more) return;
      const last = items.at(-1)?.id;
      if (last === undefined || last === after) {
        throw malformed("toloka", call, "has_more: expected false, because no new item follows");
      }
      after = last;
    }
  }

  const client: TolokaSubscriptions = {
    create,
    createMany,
    list,
    async get(id) {
      const call: ApiCall = { method: "GET", path: pathOf(id), idempotent: true };
      return subscriptionFrom(await api.request(call, SUBSCRIPTION));
    },
    delete: async (id, options) => api.delete(pathOf(id), options),
    async test(id) {
      // Each run sends an event.
      const call: ApiCall = { method: "POST", path: `${pathOf(id)}/test`, idempotent: false };
      return testResultFrom(await api.request(call, TEST_RESULT));
    },
    sync: async (desired, options = {}) => syncToloka(client, desired, options),
    recover: async (receiver, options = {}) =>
      recover("toloka", receiver, options, tolokaSource({ list, ...createRecords(api) }, options)),
  };
  return client;
}

function addressFor({ sandbox, yandexTasks }: TolokaSubscriptionsOptions): string {
  return yandexTasks ? YANDEX_TASKS : sandbox ? SANDBOX : PRODUCTION;
}

function checkOptions(options: TolokaSubscriptionsOptions): void {
  const { apiKey, oauthToken } = options;
  checkClientOptions(options);
  if (apiKey !== undefined && oauthToken !== undefined) {
    throw new TypeError("apiKey and oauthToken are both set. Pass one of them.");
  }
  if (oauthToken === undefined) checkKey("apiKey", apiKey, "TOLOKA_API_KEY");
  else checkKey("oauthToken", oauthToken, "TOLOKA_OAUTH_TOKEN");
  checkAddress(options);
}

function checkAddress(options: TolokaSubscriptionsOptions): void {
  const { sandbox, yandexTasks, baseUrl, oauthToken } = options;
  for (const [name, value] of Object.entries({ sandbox, yandexTasks })) {
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`${name} must be true or false.`);
    }
  }
  const [first, second] = Object.entries({ baseUrl, sandbox, yandexTasks }).filter(([, value]) => value);
  if (first && second) {
    throw new TypeError(`${first[0]} and ${second[0]} are both set. Pass one of them.`);
  }
  if (yandexTasks && oauthToken === undefined) {
    throw new TypeError("Yandex Tasks takes an OAuth token. Pass oauthToken in place of apiKey.");
  }
}

function pathOf(id: string): string {
  return `${PATH}/${checkId("id", id)}`;
}

function put(json: unknown, forms: readonly TolokaSubscriptionForm[]) {
  return {
    method: "PUT",
    path: PATH,
    json,
    // An upsert: a second run changes nothing.
    idempotent: true,
    secrets: forms.map(({ secret_key }) => secret_key),
  } satisfies ApiCall;
}
