/** Shared by crowdhook's own packages. Not public API: anything here may change in any release. */
export { RECOVERABLE_MS } from "./claiming/retention.js";
export { describeError, kindOf } from "./errors.js";
export { docsAddress } from "./observing/docs.js";
export { type Watched, type WatchedDelivery, type WatchedEvent, watchedOf } from "./observing/watched.js";
export { checkNames } from "./options.js";
export { signAgain } from "./providers/sender.js";
export {
  encodeBody,
  formatDelivery,
  headersOf,
  NotStored,
  parseDelivery,
  type StoredAnswer,
  type StoredDelivery,
} from "./providers/stored-delivery.js";
export { describeValue, isObject, typeName } from "./text/describe.js";
export { escapeControls, escapeControlsInJson } from "./text/escape-controls.js";
export { createHider } from "./text/hide-secrets.js";
export { suggestion } from "./text/nearest.js";
