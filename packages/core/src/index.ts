export { type Claim, type ClaimStore, type MemoryClaimsOptions, memoryClaims } from "./claims.js";
export type {
  BodyFailure,
  Bytes,
  Counts,
  Delivery,
  DeliveryHeaders,
  IncomingDelivery,
  MaybePromise,
  Reply,
} from "./delivery.js";
export type { ErrorCode } from "./errors.js";
export type { EventMap, EventType, ReceivedEvent, UnrecognizedEvent, WebhookEvent } from "./event.js";
export type { Listener, ListenerContext, ListenerMap, Listening, Off } from "./listeners.js";
export type { DeliveryRecord, EventRecord, Instrumentation } from "./observe.js";
export type { ReceiverOptions, Sink } from "./options.js";
export type { Provider, SignatureParts } from "./provider.js";
export { createReceiver, type Receiver } from "./receiver.js";
export type { SecretSource, Secrets } from "./secrets.js";
export type { Outcome } from "./turns.js";
