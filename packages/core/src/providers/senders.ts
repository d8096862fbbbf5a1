import { cvatSender } from "./cvat/sender.js";
import { prolificSender } from "./prolific/sender.js";
import type { Sender } from "./sender.js";
import { standardWebhooksSender } from "./standard-webhooks/sender.js";
import { tolokaSender } from "./toloka/sender.js";

/** Every provider of this release. The command line and the audit know providers only from this list. */
export const SENDERS = [
  tolokaSender,
  prolificSender,
  standardWebhooksSender,
  cvatSender,
] as unknown as readonly Sender[];
