/** For authors of adapters. `mount` turns an adapter's arguments into a receiver and a path. */

export { failureOf, gather } from "./body.js";
export {
  type Mount,
  mount,
  notFound,
  type Webhook,
  type WebhookOptions,
  type WebhookSource,
} from "./mounting/mount.js";
export type { NodeStream, ParsedBody } from "./mounting/node-body.js";
export {
  isHandled,
  type NodeRequest,
  type NodeResponse,
  nodeDelivery,
  writeNodeReply,
} from "./mounting/node-request.js";
export { pathOf } from "./mounting/paths.js";
export {
  type Closable,
  type HttpServer,
  type ShutdownOptions,
  shutdownGracefully,
  trackReplies,
} from "./mounting/shutdown.js";
