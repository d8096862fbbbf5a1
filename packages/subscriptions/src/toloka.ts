import type { TolokaEventType } from "@crowdhook/core/toloka";
import * as z from "zod/mini";
import { SubscriptionError } from "./errors.js";
import { type Call, createHttp, type ErrorReader } from "./http.js";
import {
  type ClientOptions,
  checkClientOptions,
  checkId,
  checkKey,
  checkSecret,
  checkTarget,
  checkText,
} from "./options.js";
import { all, type Comparison, firstById, keyOf, planOf, type SyncOptions, type SyncPlan } from "./sync.js";

/** Either `apiKey` or `oauthToken`. */
export interface TolokaSubscriptionsOptions extends ClientOptions {
  /** The account's API key, sent as `Authorization: ApiKey …`. */
  readonly apiKey?: string | undefined;
  /** The older `Authorization: OAuth …`. */
  readonly oauthToken?: string | undefined;
  /** The sandbox, which is another account with another key, in place of production. Default false. */
  readonly sandbox?: boolean | undefined;
}

/** What can be subscribed to. The set is open. Source: Toloka's webhook documentation. */
type TolokaSubscribableType =
  | Exclude<TolokaEventType, "TEST_EVENT">
  // Keeps the names above in an editor's suggestions.
  | (string & {});

/** What a subscription is made of. Source: `WebhookSubscriptionFormV1` of Toloka's OpenAPI file. */
export interface TolokaSubscriptionForm {
  readonly webhook_url: string;
  readonly event_type: TolokaSubscribableType;
  readonly pool_id: string;
  /** What deliveries are signed with. Without it they are not signed. Toloka never shows it again. */
  readonly secret_key?: string | undefined;
}

/** One pool, one event type, one URL. Source: `WebhookSubscriptionViewV1` of Toloka's OpenAPI file. */
export interface TolokaSubscription {
  id: string;
  webhook_url: string;
  event_type: string;
  pool_id: string;
  /** ISO 8601, in UTC even without an offset. */
  created: string;
  /** The same, as a `Date`. */
  createdAt: Date;
  /** Fields that are newer than this release are kept. */
  [field: string]: unknown;
}

/** Which to list. Times are ISO 8601, in UTC without an offset. */
export interface TolokaSubscriptionQuery {
  readonly event_type?: TolokaSubscribableType | undefined;
  readonly pool_id?: string | undefined;
  readonly id_gt?: string | undefined;
  readonly id_gte?: string | undefined;
  readonly id_lt?: string | undefined;
  readonly id_lte?: string | undefined;
  readonly created_gt?: string | undefined;
  readonly created_gte?: string | undefined;
  readonly created_lt?: string | undefined;
  readonly created_lte?: string | undefined;
  /** How many one call asks for, 1 to 300. All are listed all the same. Default 300. */
  readonly limit?: number | undefined;
}

/** What Toloka said of one form of many that it did not take. */
type TolokaFieldErrors = Record<string, { code?: string | undefined; message?: string | undefined }>;

/** How the test notification was answered. Source: `WebhookPushResultView` of Toloka's OpenAPI file. */
export interface TolokaTestResult {
  success: boolean;
  /** `undefined` if there was no answer. */
  responseReceivedAt: Date | undefined;
  /** `WRONG_STATUS_CODE` or `REQUEST_TIMEOUT`, for example; the set is open. `undefined` on success. */
  errorType: string | undefined;
  /** The status that the webhook answered with. */
  originalStatusCode: number | undefined;
  /** Of the events that were sent. */
  uuids: string[];
}

/** Webhook subscriptions of a Toloka account. Every method rejects with a `SubscriptionError`. */
export interface TolokaSubscriptions {
  /**
   * Creates a subscription. If there is one for this URL, type and pool, its secret becomes the form's.
   *
   * @throws TypeError, here and below, for a form or an id that cannot work.
   */
  create(form: TolokaSubscriptionForm): Promise<TolokaSubscription>;
  /**
   * The same for many, 100 in a call. `created` is by position, `undefined` where `errors` says why. If a
   * call fails, those of the calls before it exist: doing it again is safe.
   */
  createMany(forms: readonly TolokaSubscriptionForm[]): Promise<{
    created: (TolokaSubscription | undefined)[];
    errors: Map<number, TolokaFieldErrors>;
  }>;
  /** All subscriptions, in the order of their ids; the next page is asked for when it is needed. */
  list(query?: TolokaSubscriptionQuery): AsyncIterable<TolokaSubscription>;
  get(id: string): Promise<TolokaSubscription>;
  /** False if there is none; with `mustExist` that is an error. */
  delete(id: string, options?: { readonly mustExist?: boolean | undefined }): Promise<boolean>;
  /** Has Toloka send a `TEST_EVENT` to the subscription's URL. Resolves whether or not that succeeded. */
  test(id: string): Promise<TolokaTestResult>;
  /**
   * Creates what is desired and missing. Subscriptions are the same if URL, type and pool are. Safe at
   * every start and in several processes at once, for creating one that exists changes nothing but its
   * secret. If all are there, it only lists.
   *
   * Toloka shows no secrets, so a changed one cannot be seen: after a change, `resend` creates all of
   * the desired again, those that exist too.
   *
   * @throws SubscriptionError also if Toloka did not take some of them. The others exist by then, and
   * nothing was deleted.
   */
  sync(
    desired: readonly TolokaSubscriptionForm[],
    options?: SyncOptions<TolokaSubscription> & { readonly resend?: boolean | undefined },
  ): Promise<SyncPlan<TolokaSubscriptionForm, TolokaSubscription>>;
}

const PRODUCTION = "https://toloka.dev/api/v1";
const SANDBOX = "https://sandbox.toloka.dev/api/v1";
const PATH = "/webhook-subscriptions";
/** The most that Toloka takes, so that listing takes few calls. Source: its REST reference. */
const PAGE_SIZE = 300;
/** How many one call may create is not documented; so many are done well within the timeout. */
const BATCH_SIZE = 100;

const text = z.string();
const time = z.string().check(z.refine((value) => readTime(value) !== undefined, "expected ISO 8601"));
const VIEW = z.looseObject({ id: text, webhook_url: text, event_type: text, pool_id: text, created: time });
const PAGE = z.looseObject({ items: z.array(VIEW), has_more: z.boolean() });
const FIELD_ERROR = z.looseObject({ code: z.optional(text), message: z.optional(text) });
const MANY = z.looseObject({
  items: z.nullish(z.record(text, VIEW)),
  validation_errors: z.nullish(z.record(text, z.record(text, FIELD_ERROR))),
});
const TEST_RESULT = z.looseObject({
  success: z.boolean(),
  responseReceivedAt: z.nullish(time),
  errorType: z.nullish(text),
  originalStatusCode: z.nullish(z.number()),
  uuids: z.nullish(z.array(text)),
});

const COMPARISON: Comparison<TolokaSubscriptionForm, TolokaSubscription> = {
  wordsOf: ({ webhook_url, event_type, pool_id }) => [webhook_url, event_type, `pool ${pool_id}`],
  prefer: firstById,
};

/**
 * A client for the webhook subscriptions of a Toloka account. Nothing is sent before it is used.
 *
 * Calls that say 429 are repeated; all but `test` also after 5xx, a time-out or a lost connection, for
 * doing them twice is the same as once.
 *
 * @throws TypeError for options that cannot work; the message names the mistake and the fix.
 */
export function createTolokaSubscriptions(options: TolokaSubscriptionsOptions): TolokaSubscriptions {
  const { apiKey, oauthToken, sandbox = false, baseUrl } = options;
  checkClientOptions(options);
  if (apiKey !== undefined && oauthToken !== undefined) {
    throw new TypeError("apiKey and oauthToken are two ways to sign in. Pass one of them.");
  }
  if (oauthToken === undefined) checkKey("apiKey", apiKey, "TOLOKA_API_KEY");
  else checkKey("oauthToken", oauthToken, "TOLOKA_OAUTH_TOKEN");
  if (typeof sandbox !== "boolean") throw new TypeError("sandbox must be true or false.");
  if (sandbox && baseUrl !== undefined) {
    throw new TypeError("baseUrl takes the place of both of Toloka's addresses. Pass it or sandbox.");
  }
  const http = createHttp({
    ...options,
    platform: "toloka",
    baseUrl: baseUrl ?? (sandbox ? SANDBOX : PRODUCTION),
    authorization: oauthToken === undefined ? `ApiKey ${apiKey}` : `OAuth ${oauthToken}`,
    secret: oauthToken ?? apiKey ?? "",
    readError,
  });
  const one = (id: string) => `${PATH}/${checkId("id", id)}`;

  async function create(form: TolokaSubscriptionForm): Promise<TolokaSubscription> {
    checkForm(form, "");
    const call = put(form, [form]);
    // One example of the documentation shows the subscription inside an array.
    const unwrap = (body: unknown) => (Array.isArray(body) && body.length === 1 ? body[0] : body);
    return subscriptionOf(await http.ask(call, VIEW, unwrap));
  }

  async function createMany(forms: readonly TolokaSubscriptionForm[]) {
    checkForms(forms);
    const created: (TolokaSubscription | undefined)[] = forms.map(() => undefined);
    const errors = new Map<number, TolokaFieldErrors>();
    for (let start = 0; start < forms.length; start += BATCH_SIZE) {
      const batch = forms.slice(start, start + BATCH_SIZE);
      const call = put(batch, batch);
      const { items, validation_errors } = await http.ask(call, MANY);
      const taken = new Map(Object.entries(items ?? {}));
      const refused = new Map(Object.entries(validation_errors ?? {}));
      for (const index of batch.keys()) {
        const view = taken.get(String(index));
        const error = refused.get(String(index));
        if (view) created[start + index] = subscriptionOf(view);
        else if (error) errors.set(start + index, http.hide(call, error));
        else throw http.malformed(call, `items.${index}: expected object, or an error in validation_errors`);
      }
    }
    return { created, errors };
  }

  async function* list(query: TolokaSubscriptionQuery = {}): AsyncGenerator<TolokaSubscription, void> {
    let after = query.id_gt;
    for (;;) {
      const call: Call = {
        method: "GET",
        path: PATH,
        query: { limit: PAGE_SIZE, ...query, sort: "id", id_gt: after },
        repeatable: true,
      };
      const { items, has_more } = await http.ask(call, PAGE);
      for (const view of items) yield subscriptionOf(view);
      if (!has_more) return;
      const last = items.at(-1)?.id;
      if (last === undefined || last === after) {
        throw http.malformed(call, "has_more: expected false where nothing follows");
      }
      after = last;
    }
  }

  async function remove(id: string, { mustExist = false }: { mustExist?: boolean | undefined } = {}) {
    const call: Call = { method: "DELETE", path: one(id), repeatable: true, mayBeMissing: true };
    const answer = await http.send(call);
    // After an attempt without an answer, that may have been the one that deleted it.
    if (answer.status !== 404 || answer.uncertain) return true;
    if (mustExist) throw http.errorOf(call, answer);
    return false;
  }

  return {
    create,
    createMany,
    list,
    async get(id) {
      return subscriptionOf(await http.ask({ method: "GET", path: one(id), repeatable: true }, VIEW));
    },
    delete: remove,
    async test(id) {
      // Every one sends an event.
      const call: Call = { method: "POST", path: `${one(id)}/test`, repeatable: false };
      const result = await http.ask(call, TEST_RESULT);
      const { success, responseReceivedAt, errorType, originalStatusCode, uuids } = result;
      return {
        success,
        responseReceivedAt: responseReceivedAt ? readTime(responseReceivedAt) : undefined,
        errorType: errorType ?? undefined,
        originalStatusCode: originalStatusCode ?? undefined,
        uuids: uuids ?? [],
      };
    },
    async sync(desired, options = {}) {
      checkForms(desired);
      const forms = distinct(desired);
      const withoutSecret = forms.map(({ secret_key: _, ...form }) => form);
      const plan = planOf(withoutSecret, await all(list()), options, COMPARISON);
      if (options.dryRun) return plan;
      const missing = new Set(plan.create.map((form) => keyOf(COMPARISON.wordsOf(form))));
      const sent = forms.filter((form) => options.resend || missing.has(keyOf(COMPARISON.wordsOf(form))));
      const { errors } = await createMany(sent);
      if (errors.size > 0) throw refusal(sent, errors);
      if (options.deleteExtra) for (const { id } of plan.extra) await remove(id);
      return plan;
    },
  };
}

function put(json: unknown, forms: readonly TolokaSubscriptionForm[]): Call {
  // An upsert: to put it again changes nothing.
  return {
    method: "PUT",
    path: PATH,
    json,
    repeatable: true,
    secrets: forms.map(({ secret_key }) => secret_key),
  };
}

/** @throws TypeError where one subscription is desired with two secrets. */
function distinct(forms: readonly TolokaSubscriptionForm[]): TolokaSubscriptionForm[] {
  const byKey = new Map<string, TolokaSubscriptionForm>();
  for (const form of forms) {
    const words = COMPARISON.wordsOf(form);
    const other = byKey.get(keyOf(words));
    if (other && other.secret_key !== form.secret_key) {
      throw new TypeError(`${words.join(" ")} is desired twice, with two secrets. A subscription has one.`);
    }
    byKey.set(keyOf(words), other ?? form);
  }
  return [...byKey.values()];
}

function checkForms(forms: readonly TolokaSubscriptionForm[]): void {
  if (!Array.isArray(forms)) throw new TypeError("Pass a list of forms.");
  for (const [index, form] of forms.entries()) checkForm(form, `[${index}].`);
}

function checkForm(form: TolokaSubscriptionForm, where: string): void {
  if (typeof form !== "object" || form === null) throw new TypeError("A form must be an object.");
  checkTarget(`${where}webhook_url`, form.webhook_url, false);
  checkText(`${where}event_type`, form.event_type);
  checkText(`${where}pool_id`, form.pool_id);
  if (form.secret_key !== undefined) checkSecret(`${where}secret_key`, form.secret_key);
}

function subscriptionOf(view: z.output<typeof VIEW>): TolokaSubscription {
  return { ...view, createdAt: readTime(view.created) as Date };
}

/** Source: Toloka's REST reference. */
const readError: ErrorReader = ({ code, message, request_id, payload }) => ({
  code: textOf(code),
  message: textOf(message),
  requestId: textOf(request_id),
  payload,
});

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function refusal(
  forms: readonly TolokaSubscriptionForm[],
  errors: ReadonlyMap<number, TolokaFieldErrors>,
): SubscriptionError {
  const reasons = [...errors].slice(0, 3).map(([index, fields]) => {
    const { event_type, pool_id } = forms[index] as TolokaSubscriptionForm;
    const said = Object.entries(fields).map(([field, { code }]) => `${field} ${code ?? "is refused"}`);
    return `${event_type} of pool ${pool_id}: ${said.join(", ")}`;
  });
  const [first = {}] = errors.values();
  return new SubscriptionError(
    `Toloka refused ${errors.size} of ${forms.length} subscriptions: ${reasons.join("; ")}${errors.size > 3 ? "; …" : ""}. The others exist.`,
    {
      platform: "toloka",
      status: 200,
      code: Object.values(first)[0]?.code,
      payload: Object.fromEntries(errors),
    },
  );
}

const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/;

/** Toloka's times without an offset are UTC; `new Date` alone would take them for local time. */
function readTime(time: string): Date | undefined {
  const match = ISO_8601.exec(time);
  if (match === null) return undefined;
  const date = new Date(match[1] === undefined ? `${time}Z` : time);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
