export { desiredFrom } from "./desired.js";
export { SubscriptionError } from "./errors.js";
export {
  createProlificSubscriptions,
  type ProlificSecret,
  type ProlificSubscription,
  type ProlificSubscriptionEvent,
  type ProlificSubscriptionForm,
  type ProlificSubscriptions,
  type ProlificSubscriptionsOptions,
} from "./prolific.js";
export type { SyncOptions, SyncPlan } from "./sync.js";
export {
  createTolokaSubscriptions,
  type TolokaSubscription,
  type TolokaSubscriptionForm,
  type TolokaSubscriptionQuery,
  type TolokaSubscriptions,
  type TolokaSubscriptionsOptions,
  type TolokaTestResult,
} from "./toloka.js";
