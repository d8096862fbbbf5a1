export { desiredFrom } from "./desired.js";
export { SubscriptionError } from "./errors.js";
export { createProlificSubscriptions } from "./prolific/client.js";
export type { ProlificSubscriptionChange, ProlificSubscriptionForm } from "./prolific/form.js";
export type {
  ProlificSecret,
  ProlificSubscription,
  ProlificSubscriptionEvent,
  ProlificSubscriptions,
  ProlificSubscriptionsOptions,
} from "./prolific/subscriptions.js";
export type { RecoverableReceiver, RecoveryOptions, RecoveryProgress } from "./recovery/options.js";
export type { ListedEvent, RecoveryResult, UnrecoveredEvent } from "./recovery/result.js";
export type { SyncOptions, SyncPlan } from "./sync.js";
export { createTolokaSubscriptions } from "./toloka/client.js";
export type { TolokaSubscriptionForm } from "./toloka/form.js";
export type {
  TolokaSubscription,
  TolokaSubscriptionQuery,
  TolokaSubscriptions,
  TolokaSubscriptionsOptions,
  TolokaTestResult,
} from "./toloka/subscriptions.js";
