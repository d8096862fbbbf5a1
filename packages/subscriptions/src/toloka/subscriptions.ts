import type { ClientOptions } from "../options.js";
import type { RecoverableReceiver, RecoveryOptions } from "../recovery/options.js";
import type { RecoveryResult } from "../recovery/result.js";
import type { SyncOptions, SyncPlan } from "../sync.js";
import type { TolokaSubscribableType, TolokaSubscriptionForm } from "./form.js";

/** Pass either `apiKey` or `oauthToken`. */
export interface TolokaSubscriptionsOptions extends ClientOptions {
  /** The account's API key, sent as `Authorization: ApiKey …`. */
  readonly apiKey?: string | undefined;
  /** The account's token for the older `Authorization: OAuth …`. */
  readonly oauthToken?: string | undefined;
  /** Calls the sandbox, which is a separate account with its own key. Default false. */
  readonly sandbox?: boolean | undefined;
  /**
   * Calls Yandex Tasks, which speaks Toloka's protocol and takes an `oauthToken`. Not tried against the real
   * service. Default false.
   */
  readonly yandexTasks?: boolean | undefined;
}

/**
 * A subscription of one URL to one event type in one pool.
 * Source: `WebhookSubscriptionViewV1` of Toloka's OpenAPI file.
 */
export interface TolokaSubscription {
  id: string;
  webhook_url: string;
  event_type: string;
  pool_id: string;
  /** ISO 8601. A time without an offset is UTC. */
  created: string;
  /** `created` as a `Date`. */
  createdAt: Date;
  /** Fields that are newer than this release are kept. */
  [field: string]: unknown;
}

/** Filters a list. Times are ISO 8601; without an offset they are UTC. */
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
  /** The page size, 1 to 300. The list contains all pages. Default 300. */
  readonly limit?: number | undefined;
}

/** The errors of one refused form, by field. */
export type TolokaFieldErrors = Record<string, { code?: string | undefined; message?: string | undefined }>;

/** The outcome of a test delivery. Source: `WebhookPushResultView` of Toloka's OpenAPI file. */
export interface TolokaTestResult {
  success: boolean;
  /** `undefined` if the webhook did not respond. */
  responseReceivedAt: Date | undefined;
  /** For example `WRONG_STATUS_CODE` or `REQUEST_TIMEOUT`; the set is open. `undefined` on success. */
  errorType: string | undefined;
  /** The status that the webhook responded with. */
  originalStatusCode: number | undefined;
  /** The ids of the events in the test delivery. */
  uuids: string[];
}

/** The webhook subscriptions of a Toloka account. A failed call rejects with a `SubscriptionError`. */
export interface TolokaSubscriptions {
  /**
   * Creates a subscription. If one exists for the URL, type and pool, `create` replaces its secret.
   *
   * @throws TypeError, like the methods below, for an invalid form or id.
   */
  create(form: TolokaSubscriptionForm): Promise<TolokaSubscription>;
  /**
   * Creates many subscriptions, 100 in a call. `created` and `errors` use the positions of the forms;
   * where `created` is `undefined`, `errors` has the reason. If a call fails, the subscriptions of earlier
   * calls exist. It is safe to call `createMany` again.
   */
  createMany(forms: readonly TolokaSubscriptionForm[]): Promise<{
    created: (TolokaSubscription | undefined)[];
    errors: Map<number, TolokaFieldErrors>;
  }>;
  /** Returns all subscriptions, ordered by id. It fetches each page when it is needed. */
  list(query?: TolokaSubscriptionQuery): AsyncIterable<TolokaSubscription>;
  get(id: string): Promise<TolokaSubscription>;
  /** Returns false if the subscription does not exist. With `mustExist` it rejects instead. */
  delete(id: string, options?: { readonly mustExist?: boolean | undefined }): Promise<boolean>;
  /** Makes Toloka send a `TEST_EVENT` to the subscription's URL. Resolves even if that delivery fails. */
  test(id: string): Promise<TolokaTestResult>;
  /**
   * Creates the desired subscriptions that are missing. Subscriptions are the same if URL, type and pool
   * are the same. If none is missing, it only lists. It is safe to run at every start, and in several
   * processes at once: creating an existing subscription changes nothing but its secret.
   *
   * Toloka does not show secrets, so `sync` cannot detect a changed one. After a change, pass `resend` to
   * create all desired subscriptions again, including those that exist.
   *
   * @throws SubscriptionError also if Toloka refuses some of them. Then the others exist, and nothing was
   * deleted.
   */
  sync(
    desired: readonly TolokaSubscriptionForm[],
    options?: TolokaSyncOptions,
  ): Promise<SyncPlan<TolokaSubscriptionForm, TolokaSubscription>>;
  /**
   * Hands a receiver the events that follow from assignments and pools, and that no delivery brought. They go through the receiver's claims,
   * so an event that was handled is a duplicate. Safe to run at every start and in several processes: one
   * of them recovers, and an interrupted recovery begins again at the last checkpoint.
   *
   * Toloka lists no events. A recovered event has a `uuid` of its own. `DYNAMIC_OVERLAP_COMPLETED` cannot be
   * recovered, and of a pool only the last closing.
   *
   * @throws TypeError for a receiver without `recoverable`, and for invalid options.
   * @throws SubscriptionError if a call fails. The checkpoint then stays where it was.
   */
  recover(
    receiver: RecoverableReceiver,
    options?: RecoveryOptions<TolokaSubscription>,
  ): Promise<RecoveryResult>;
}

export type TolokaSyncOptions = SyncOptions<TolokaSubscription> & {
  /** Sends all desired subscriptions to Toloka again, with their secrets. Default false. */
  readonly resend?: boolean | undefined;
};
