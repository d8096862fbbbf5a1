import type { ClientOptions } from "../options.js";
import type { RecoverableReceiver, RecoveryOptions } from "../recovery/options.js";
import type { RecoveryResult } from "../recovery/result.js";
import type { SyncOptions, SyncPlan } from "../sync.js";
import type { ProlificSubscriptionChange, ProlificSubscriptionForm } from "./form.js";

/** The account and the workspace at Prolific, and how to call its API. */
export interface ProlificSubscriptionsOptions extends ClientOptions {
  /** The account's API token, sent as `Authorization: Token …`. */
  readonly token: string | undefined;
  /** The id of the workspace that the subscriptions and secrets belong to. */
  readonly workspaceId: string | undefined;
}

/**
 * A subscription of one URL to one event type. Prolific does not show whether it is confirmed.
 * Source: Prolific's API reference.
 */
export interface ProlificSubscription {
  id: string;
  event_type: string;
  target_url: string;
  is_enabled: boolean;
  workspace_id: string;
  /** Fields that are newer than this release are kept. */
  [field: string]: unknown;
}

/** The secret that Prolific signs deliveries with. A workspace has one active secret. */
export interface ProlificSecret {
  value: string;
  /** Other fields are kept. */
  [field: string]: unknown;
}

/** An event of a subscription, with the state of its delivery. Source: Prolific's API reference. */
export interface ProlificSubscriptionEvent {
  id: string;
  datetime_created: string;
  datetime_updated: string;
  event_type: string;
  /** The id of the event's submission or study. */
  resource_id: string;
  /** The state of the delivery. The set is open. */
  status: string;
  target_url: string;
  [field: string]: unknown;
}

/** The hook subscriptions of a Prolific workspace. A failed call rejects with a `SubscriptionError`. */
export interface ProlificSubscriptions {
  /** Returns the event types that can be subscribed to. */
  eventTypes(): Promise<{ event_type: string; description: string }[]>;
  /** Returns the workspace's secrets in plain text. */
  secrets(): Promise<ProlificSecret[]>;
  /**
   * Creates a secret **that replaces the old one**. Prolific signs with the new secret at once, and
   * receivers refuse those deliveries until they have it. Keep the old secret in receivers, too, until the
   * last delivery signed with it has arrived. A failed call is retried only after 429.
   */
  createSecret(): Promise<ProlificSecret>;
  /**
   * Creates a subscription and confirms it. Prolific delivers nothing to an unconfirmed subscription.
   *
   * Prolific accepts a second subscription for the same type and URL, so a failed creation is retried only
   * after 429. `sync` lists the existing subscriptions first.
   *
   * @throws TypeError, like the methods below, for an invalid form or id.
   * @throws SubscriptionError also if the confirmation fails. Then `subscribe` has deleted the subscription,
   * because Prolific shows the secret for the confirmation only once. If that failed as well, the message
   * says so. `subscriptionId` names the subscription.
   */
  subscribe(form: ProlificSubscriptionForm): Promise<ProlificSubscription>;
  /** Confirms a subscription. `secret` is the `X-Hook-Secret` header of the response to its creation. */
  confirm(id: string, secret: string): Promise<ProlificSubscription>;
  /**
   * Returns the enabled, then the disabled subscriptions of the workspace, or only those that `is_enabled`
   * asks for. It fetches each page when it is needed.
   */
  list(query?: { readonly is_enabled?: boolean | undefined }): AsyncIterable<ProlificSubscription>;
  get(id: string): Promise<ProlificSubscription>;
  /** Changes the given fields. Prolific does not document whether a changed subscription must be confirmed. */
  update(id: string, change: ProlificSubscriptionChange): Promise<ProlificSubscription>;
  enable(id: string): Promise<ProlificSubscription>;
  disable(id: string): Promise<ProlificSubscription>;
  /** Returns false if the subscription does not exist. With `mustExist` it rejects instead. */
  delete(id: string, options?: { readonly mustExist?: boolean | undefined }): Promise<boolean>;
  /** Returns the events of a subscription. It fetches each page when it is needed. */
  events(
    id: string,
    query?: { readonly status?: string | undefined },
  ): AsyncIterable<ProlificSubscriptionEvent>;
  /**
   * Subscribes to the desired subscriptions that are missing. Subscriptions are the same if type and URL
   * are the same. If none is missing, it changes nothing, so it is safe to run at every start. It keeps a
   * disabled subscription disabled, and the plan says so; with `enable` it enables it.
   *
   * It replaces a disabled subscription that never had an event, because that is how one looks whose
   * confirmation failed. Prolific does not show the confirmation.
   *
   * Two processes that start at once can both create a subscription. So `sync` lists again after creating:
   * a duplicate is extra, and deleted only with `deleteExtra`. All processes keep the same one: an enabled
   * one first, then the one whose id comes first.
   */
  sync(
    desired: readonly ProlificSubscriptionForm[],
    options?: ProlificSyncOptions,
  ): Promise<SyncPlan<ProlificSubscriptionForm, ProlificSubscription>>;
  /**
   * Hands a receiver the events that Prolific could not deliver. They go through the receiver's claims,
   * so an event that was handled is a duplicate. Safe to run at every start and in several processes: one
   * of them recovers, and an interrupted recovery begins again at the last checkpoint.
   *
   * If the receiver knows none of the delivered events by their listed id, `recover` takes only events that
   * Prolific has given up, and lists those in `uncertain` that equal a delivered event.
   *
   * @throws TypeError for a receiver without `recoverable`, and for invalid options.
   * @throws SubscriptionError if a call fails. The checkpoint then stays where it was.
   */
  recover(
    receiver: RecoverableReceiver,
    options?: RecoveryOptions<ProlificSubscription>,
  ): Promise<RecoveryResult>;
}

export type ProlificSyncOptions = SyncOptions<ProlificSubscription> & {
  /** Enables the desired subscriptions that are disabled. Default false. */
  readonly enable?: boolean | undefined;
};
