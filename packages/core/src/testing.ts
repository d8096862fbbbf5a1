export { type TestClock, testClock } from "./conformance/test-clock.js";
export { createSender, type SenderOptions } from "./providers/defined-sender.js";
export {
  prolificEvent,
  type SignProlificOptions,
  signProlific,
} from "./providers/prolific/sender.js";
export {
  type HeaderLines,
  type Sender,
  type SentEvent,
  type SignatureValues,
  type SignedDelivery,
  signDelivery,
} from "./providers/sender.js";
export { SENDERS } from "./providers/senders.js";
export { type SignTolokaOptions, signToloka, tolokaEvent } from "./providers/toloka/sender.js";
