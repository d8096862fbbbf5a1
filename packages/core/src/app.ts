/**
 * The types and functions that an app uses beside its adapter. Each adapter exports all of them, so an
 * app needs one installation, and no adapter lacks a type.
 */

export type { ClaimStore } from "./claiming/claim-store.js";
export type { Delivery } from "./delivery.js";
export type { ErrorCode } from "./errors.js";
export {
  type EventMap,
  type EventType,
  type ReceivedEvent,
  rawData,
  type UnrecognizedEvent,
  type WebhookEvent,
} from "./event.js";
export type { ListenerContext } from "./listeners/context.js";
export type { Listener, ListenerMap } from "./listeners/registry.js";
export type { Webhook, WebhookOptions, WebhookSource } from "./mounting/mount.js";
export type { Logger } from "./observing/log.js";
export type { Instrumentation } from "./observing/observe.js";
export type { DeliveryRecord } from "./observing/trace.js";
export type { ReceiverOptions, Sink } from "./options.js";
export type { Provider } from "./provider.js";
export type { ProlificEvents, ProlificEventType } from "./providers/prolific/index.js";
export type { TolokaEvents, TolokaEventType } from "./providers/toloka/index.js";
export type { Receiver } from "./receiver.js";
export type { Reply } from "./reply.js";
export type { SecretSource } from "./signature/secrets.js";
export { WebhookError } from "./signature/verify-delivery.js";
