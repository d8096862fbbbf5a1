export type { Claim, ClaimStore } from "./claiming/claim-store.js";
export { type MemoryClaimsOptions, memoryClaims } from "./claiming/memory-claims.js";
export type {
  BodyFailure,
  Bytes,
  Delivery,
  DeliveryHeaders,
  IncomingDelivery,
} from "./delivery.js";
export type { ErrorCode } from "./errors.js";
export {
  type EventMap,
  type EventType,
  type ParsedEvent,
  type ReceivedEvent,
  rawData,
  type UnrecognizedEvent,
  type WebhookEvent,
} from "./event.js";
export type { ListenerContext } from "./listeners/context.js";
export type { Listener, ListenerMap, Listening, Off } from "./listeners/registry.js";
export type { Logger } from "./observing/log.js";
export type { Instrumentation } from "./observing/observe.js";
export type { DeliveryRecord, EventRecord, EventSource } from "./observing/trace.js";
export type { ReceiverOptions, Sink } from "./options.js";
export type { Counts, Outcome } from "./outcome.js";
export type { Provider } from "./provider.js";
export { defineProvider } from "./providers/defining/define-provider.js";
export type {
  CustomSignature,
  EnvelopeDefinition,
  FieldPath,
  HeaderName,
  ProviderDefinition,
  SignatureDefinition,
  TimeUnit,
} from "./providers/defining/definition.js";
export type { HmacFormat, SignatureFormat, SignatureParts } from "./providers/signature-format.js";
export type { StandardSchema } from "./providers/standard-schema.js";
export { createReceiver, type Receiver } from "./receiver.js";
export type { RecoveredEnvelope, Recovery } from "./recovering/recovery.js";
export type { Reply } from "./reply.js";
export type { SecretSource, Secrets } from "./signature/secrets.js";
export {
  type SignedRequest,
  type VerifyOptions,
  verify,
  WebhookError,
} from "./signature/verify-delivery.js";
export type { MaybePromise } from "./values/maybe-promise.js";
